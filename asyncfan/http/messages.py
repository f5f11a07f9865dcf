"""What http and an adapter hand each other: parts of requests and responses, and the adapter's duties."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

__all__ = [
    "LONGEST_BODY",
    "Adapter",
    "AdapterFactory",
    "Blocking",
    "Declared",
    "Draft",
    "Frozen",
    "Headers",
    "RequestParts",
    "Unshared",
    "Visit",
    "Watching",
]

Headers = Sequence[tuple[bytes, bytes]]  # as they travel: (name in lower case, value), a name may come twice

LONGEST_BODY = 1 << 16  # bytes of a request's body by which it is keyed


class RequestParts(NamedTuple):
    """A request as it came in, nothing decoded.

    Attributes:
        method: In upper case.
        scheme: ``http`` or ``https``.
        path: The whole path with its percent-encoding, so that ``/a%2Fb`` is not ``/a/b``.
        query: What follows the question mark.
        headers: All of them, names in lower case.
    """

    method: str
    scheme: str
    path: bytes
    query: bytes
    headers: Iterable[tuple[bytes, bytes]]


@dataclass(slots=True)
class Visit:
    """One request on its way through a decorated handler; an adapter may remember more in a subclass.

    Attributes:
        request: The framework's own request.
        args: What the handler is called with, without the parameters that the adapter added.
        kwargs: Likewise, by name.
        extra: Headers that guards and dependencies set on this request's response: sent along, never stored.
    """

    request: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    extra: Headers = ()


@dataclass(frozen=True, slots=True)
class Declared:
    """What a route says that it reads, apart from what the handler's own parameters say.

    Attributes:
        query: Parameters that the handler or its guards read; None where the framework cannot say.
        own_headers: Headers that the handler's own parameters read, in lower case.
        headers: Headers that guards and dependencies read.
        cookies: Cookies that they read.
        credentials: Headers that security schemes read, beside Authorization and Cookie.
        credential_query: Query parameters that security schemes read.
        opaque: Whether guards take the whole request, so may read what nobody declares.
    """

    query: frozenset[str] | None = None
    own_headers: frozenset[bytes] = frozenset()
    headers: frozenset[bytes] = frozenset()
    cookies: frozenset[bytes] = frozenset()
    credentials: frozenset[bytes] = frozenset()
    credential_query: frozenset[str] = frozenset()
    opaque: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A response whose bytes are known, before anybody decided whether to store it.

    Attributes:
        status: The status code.
        headers: What would be sent, without the headers that belong to this one request.
        body: The whole body.
        merges: Whether the framework adds the ``extra`` headers of a visit to such a response.
    """

    status: int
    headers: Headers
    body: bytes
    merges: bool = False


@dataclass(frozen=True, slots=True)
class Frozen:
    """The only thing that is stored: a response as bytes, ready to be sent to everybody who shares its key.

    Attributes:
        status: The status code.
        headers: What is sent, with the entity tag and Cache-Control added.
        body: The whole body.
        tag: The entity tag, None for a method that has no conditional requests.
        stored_at: Seconds since the epoch.
        expire: Seconds that it stays fresh.
        merges: As in `Draft`.
        outlives: Seconds after that in which it may be served stale.
    """

    status: int
    headers: Headers
    body: bytes
    tag: bytes | None
    stored_at: float
    expire: float
    merges: bool
    outlives: float = 0.0

    def __sizeof__(self) -> int:
        """Count the bytes held, for caches bounded by ``max_bytes``."""
        texts = sum(len(name) + len(value) for name, value in self.headers)
        return object.__sizeof__(self) + len(self.body) + texts


@dataclass(frozen=True, slots=True)
class Unshared:
    """A response that only its own client may have: the framework's own object, and why it is not stored."""

    response: Any
    reason: str


class Adapter(Protocol):
    """What one decorated handler needs to know of its framework; made once, with the handler.

    Nothing here decides about caching: an adapter only takes requests apart and puts responses together.
    """

    @property
    def signature(self) -> inspect.Signature | None:
        """What the framework is to see instead of the handler's own signature, if anything."""
        ...

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any | None:
        """Return the `Visit` of a call by this framework, or None if the call came from somewhere else."""
        ...

    def parts(self, visit: Any) -> RequestParts:
        """Return the request's parts."""
        ...

    def declared(self, visit: Any) -> Declared:
        """Return what the route declares; the same object each time for the same route."""
        ...

    def arguments(self, visit: Any) -> Mapping[str, Any]:
        """Return the handler's own arguments that came in headers, cookies or the body, parsed, by name."""
        ...

    async def body(self, visit: Any) -> bytes | None:
        """Return what of the body `arguments` does not hold; None if it can't be read without harm."""
        ...

    async def call(self, visit: Any) -> Any:
        """Run the handler in the caller's task (a plain function in a thread) and return what it returned."""
        ...

    async def freeze(self, visit: Any, result: Any) -> tuple[Any, Draft | None]:
        """Return the response to send for ``result``, and its draft if its bytes are known and repeatable."""
        ...

    def emit(self, visit: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Any:
        """Return the framework's response with exactly these parts, or write them on the visit's own."""
        ...

    def mark(self, visit: Any, result: Any, name: str, value: str) -> Any:
        """Return the handler's own ``result`` so that it is sent with one more header."""
        ...


class Watching(Protocol):
    """What an adapter has beside the above where its framework's requests can be watched; ``audit=True`` needs it."""

    def watch(self, visit: Any, saw: Callable[[str, str], None]) -> None:
        """Call ``saw("header", name)`` or ``saw("cookie", name)`` for what the handler reads from now on.

        `auditing.Watched` in the place of the framework's own headers and cookies does that.
        """
        ...


class Blocking(Protocol):
    """What an adapter has beside that where its framework calls a plain handler in a thread of the request's own.

    Such a handler stays a plain function. Its visits get an `in_thread.Thread` as ``thread``, by which `Adapter.call`
    runs it; None, where it was not known at decoration whose handler it is.

    Attributes:
        loop_ends: Whether an async handler's event loop ends with its request.
    """

    loop_ends: bool

    @property
    def blocking(self) -> bool:
        """Whether this handler is one."""
        ...


AdapterFactory = Callable[[Callable[..., Any]], Adapter]
