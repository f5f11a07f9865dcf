"""What a real browser sees of a cached page: ``python -m benchmarks browser``.

Workload: Chromium, headless, with a fresh profile, visits one page twice. The server keeps the page for a minute,
    which tells browsers to ask each time (`Cache-Control: max-age=0, s-maxage=60`).
Reading: what came over the wire, as DevTools tells it. It fails unless the browser asked with the ETag that it had, was
    answered with 304 and an Age, showed the page all the same, and the handler ran once.
Command: python -m benchmarks browser
"""

import argparse
import asyncio
import contextlib
import shutil
import socket
import sys
import tempfile
from itertools import count
from pathlib import Path

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
]
PATIENCE = 60  # seconds for everything


def main(arguments: list[str]) -> int:
    """Visit the page and print what the browser saw. Returns 1 unless it saw a 304 with Age, 0 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks browser", description="A cached page in a browser.")
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="the browser's executable")
    options = parser.parse_args(arguments)
    if options.chromium is None:
        print("chromium is not installed: `apt-get install chromium`, or --chromium PATH", file=sys.stderr)
        return 1
    return asyncio.run(asyncio.wait_for(compare(options.chromium), PATIENCE))


async def compare(chromium):
    """Print both visits, and return whether the second was none of what it should be."""
    runs = []
    async with serving(runs) as url, browsing(chromium) as visit:
        first = await visit(url)
        await asyncio.sleep(1.1)  # an Age of at least one second
        second = await visit(url)
    for name, seen in (("first", first), ("second", second)):
        print(f"{name + ' visit':<13} {' '.join(f'{part}={value!r}' for part, value in seen.items())}")
    print(f"the handler ran {len(runs)} time(s)")
    asked = second["if-none-match"] == first["etag"] is not None
    shown = second["page"] == first["page"] == "made once, by run 1"
    kept = first["status"] == 200 and second["status"] == 304 and int(second["age"] or 0) >= 1
    return int(not (asked and shown and kept and len(runs) == 1))


@contextlib.asynccontextmanager
async def serving(runs):
    """Serve one cached page; yield its address."""
    import uvicorn
    from fastapi import FastAPI
    from fastapi.responses import HTMLResponse

    from asyncfan import cache_response

    app = FastAPI()

    @app.get("/page")
    @cache_response(expire=60)
    async def page():
        runs.append(1)
        headers = {"Cache-Control": "max-age=0, s-maxage=60"}
        return HTMLResponse(f"<p>made once, by run {len(runs)}</p>", headers=headers)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none"))
        running = asyncio.create_task(server.serve(sockets=[listener]), name="server")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/page"
        server.should_exit = True
        await running


@contextlib.asynccontextmanager
async def browsing(chromium):
    """Start the browser; yield a coroutine function that visits an address and returns what was seen."""
    import aiohttp

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        quiet = asyncio.subprocess.DEVNULL
        command = [chromium, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = await asyncio.create_subprocess_exec(*command, stdout=quiet, stderr=quiet)
        try:
            port = await port_of(Path(profile) / "DevToolsActivePort")
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as pages:
                    page = next(page for page in await pages.json() if page["type"] == "page")
                async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as wire:
                    tools = DevTools(wire)
                    for domain in ("Network", "Page"):
                        await tools.order(f"{domain}.enable")
                    yield tools.visit
        finally:
            process.terminate()
            await process.wait()


async def port_of(file):
    """Return where DevTools listen, once the browser has said so."""
    while not (file.exists() and file.read_text().strip()):
        await asyncio.sleep(0.05)
    return int(file.read_text().split()[0])


class DevTools:
    """One tab, over the DevTools protocol."""

    def __init__(self, wire):
        self.wire = wire
        self.numbers = count(1)
        self.events = []  # [(method, params)]; all that came

    async def receive(self):
        message = await self.wire.receive_json()
        self.events.append((message.get("method"), message.get("params")))
        return message

    async def order(self, method, **params):
        """Give an order, and return its result."""
        number = next(self.numbers)
        await self.wire.send_json({"id": number, "method": method, "params": params})
        while (message := await self.receive()).get("id") != number:
            pass
        return message["result"]

    def happened(self, method):
        return [params for name, params in self.events if name == method]

    async def load(self, url):
        """Go to an address, wait for the page, and return the number of its request."""
        self.events.clear()
        request = (await self.order("Page.navigate", url=url))["loaderId"]
        while not self.happened("Page.loadEventFired"):
            await self.receive()
        return request

    async def visit(self, url):
        """Leave the page, visit the address, and return what went over the wire and what is shown."""
        await self.load("about:blank")  # the same address again would be a reload
        request = await self.load(url)
        wire = "Network.responseReceivedExtraInfo"
        while not any(told["requestId"] == request for told in self.happened(wire)):
            await self.receive()
        answer = next(told for told in self.happened(wire) if told["requestId"] == request)
        asked = self.happened("Network.requestWillBeSentExtraInfo")
        asked = next(told["headers"] for told in asked if told["requestId"] == request)
        sent = {name.lower(): value for name, value in asked.items()}
        got = {name.lower(): value for name, value in answer["headers"].items()}
        shown = await self.order("Runtime.evaluate", expression="document.body.innerText")
        return {
            "if-none-match": sent.get("if-none-match"),
            "status": answer["statusCode"],
            **{name: got.get(name) for name in ("age", "etag", "cache-control", "cache-status")},
            "page": shown["result"]["value"],
        }
