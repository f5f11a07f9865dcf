"""One server process: ``python -m benchmarks.serve MODULE FUNCTION BYTES`` prints its port, and serves until killed.

For each line that it is sent, it prints the seconds of CPU that it has taken so far.
"""

import asyncio
import contextlib
import socket
import sys
import threading
import time
from importlib import import_module


def tell_time() -> None:
    for _ in sys.stdin:
        print(time.process_time(), flush=True)


def main(module: str, function: str, size: int) -> None:
    """Serve what the function makes: an ASGI application, or a coroutine function that is given a socket."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        made = getattr(import_module(module), function)(size)
        print(listener.getsockname()[1], flush=True)
        threading.Thread(target=tell_time, daemon=True).start()
        if getattr(made, "is_server", False):
            asyncio.run(made(listener))
            return
        import uvicorn

        config = uvicorn.Config(made, log_level="critical", access_log=False, lifespan="auto", ws="none")
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
