"""How many requests a second a server answers: by wrk where it is installed, else by sockets of our own."""

import asyncio
import re
import shutil
import subprocess
from time import perf_counter

CONNECTIONS = 32
WRK = shutil.which("wrk")


async def ask_for(port: int, path: str, milliseconds: int) -> tuple[int, float]:
    """Ask a server on this machine for a path, over 32 connections; return how often, and in how many seconds."""
    if WRK and milliseconds >= 1000:
        return await asyncio.to_thread(_by_wrk, port, path, milliseconds // 1000)
    return await _by_sockets(port, path, milliseconds / 1000)


async def ask_once(port: int, path: str) -> None:
    """Ask a server on this machine for a path, so that what caches has it."""
    await _client(port, path, 0.0)


def _by_wrk(port: int, path: str, seconds: int) -> tuple[int, float]:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", f"http://127.0.0.1:{port}{path}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said or " 0 requests in" in said:
        raise RuntimeError(said)
    count = int(re.search(r"(\d+) requests in", said)[1])
    return count, count / float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])


async def _by_sockets(port: int, path: str, seconds: float) -> tuple[int, float]:
    begun = perf_counter()
    counts = await asyncio.gather(*(_client(port, path, begun + seconds) for _ in range(CONNECTIONS)))
    return sum(counts), perf_counter() - begun


async def _client(port: int, path: str, end: float) -> int:
    """Ask until the time is over, at least once; return how often."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    count = 0
    try:
        while not count or perf_counter() < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head[:13]:
                raise RuntimeError(head.decode())
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(length[1]))
            count += 1
    finally:
        writer.close()
    return count
