"""Where a server is, read from a URL whose password is never shown again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from .abrupt import abrupt

__all__ = ["Address", "read"]

_CLUSTER = "+cluster"
_POOL_OPTIONS = ("max_connections", "timeout")  # of redis-py's pools, which are not used here
_HOW = (
    "write redis://, rediss:// (TLS), unix://, redis+cluster:// or rediss+cluster://, such as "
    '"redis://user:password@host:6379/0", with what is special in a password percent-encoded'
)


class Address:
    """Makes connections to a server; has no connection itself.

    Attributes:
        shown: The URL without its password and its options.
        cluster: Whether the server is one of a cluster.
        timeout: Seconds that the server may take for an answer.
        patience: Seconds that connecting may take: greetings and TLS are several answers.
    """

    def __init__(self, shown: str, kwargs: Mapping[str, Any], *, cluster: bool, timeout: float) -> None:
        self.shown = shown
        self.cluster = cluster
        self.timeout = timeout
        self.patience: float = 5 * timeout
        self._kwargs = kwargs

    def connection(self, **others: Any) -> AbstractConnection:
        """Make a connection, not connected yet; here or, in a cluster, to the node at another ``host`` and ``port``."""
        kwargs: dict[str, Any] = {**self._kwargs, **others}
        make: type[AbstractConnection] = kwargs.pop("connection_class")
        return make(**kwargs)

    def __repr__(self) -> str:
        return f"<Address {self.shown}>"


def read(url: str, timeout: float, options: Mapping[str, Any]) -> Address:
    """Return the address that ``url`` says, with further options for redis-py's connections.

    Raises:
        ValueError: The URL or the timeout makes no sense.
        TypeError: redis-py knows no such option.
    """
    if not timeout > 0:
        raise ValueError(f"timeout must be > 0 seconds, got {timeout!r}")
    scheme, _, rest = url.partition("://")
    cluster = scheme.endswith(_CLUSTER)
    ours = {
        "socket_timeout": None,  # the whole exchange has a deadline
        "socket_connect_timeout": None,  # and so has connecting, one that a busy event loop does not use up
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,  # what it can do is enough, and every server can
        "decode_responses": False,
    }
    try:
        parts = urlsplit(url)
        kwargs = {**parse_url(f"{scheme.removesuffix(_CLUSTER)}://{rest}"), **options, **ours}
        where = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
    except ValueError:
        raise ValueError(f"cannot read the server's URL (not shown: it may hold a password): {_HOW}") from None
    kwargs["connection_class"] = abrupt(kwargs.get("connection_class", Connection))
    for name in _POOL_OPTIONS:
        kwargs.pop(name, None)
    user = f"{parts.username or ''}{':***' if parts.password else ''}{'@' if parts.username or parts.password else ''}"
    address = Address(f"{scheme}://{user}{where}", kwargs, cluster=cluster, timeout=timeout)
    made = address.connection()  # so that a wrong option fails here
    if hasattr(made, "driver_info"):  # redis-py reads its package's metadata for it, 1 ms for each connection
        kwargs["driver_info"] = made.driver_info
    return address
