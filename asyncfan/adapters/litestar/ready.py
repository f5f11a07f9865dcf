"""A response of Litestar whose bytes are at hand."""

from __future__ import annotations

from typing import Any

from litestar import Response
from litestar.response.base import ASGIResponse

from ...http.messages import Headers

__all__ = ["Ready"]


class Ready(Response[bytes]):
    """A response whose parts are ready; what the route's layers add to each response is added to it, too."""

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        super().__init__(body, status_code=status)
        self.ready = headers

    def to_asgi_response(self, app: Any, request: Any, **options: Any) -> ASGIResponse:  # noqa: ARG002 - as the class above
        """Return what is sent."""
        layers = options.get("headers") or {}
        made = ASGIResponse(
            background=self.background or options.get("background"),
            body=self.content,
            cookies=[*self.cookies, *(options.get("cookies") or ())],
            status_code=self.status_code,
        )
        mine = {name.decode("latin-1") for name, _ in self.ready}
        more = {name.lower(): value for name, value in layers.items() if name.lower() not in mine}
        more |= {name.lower(): value for name, value in self.headers.items()}  # a hook's after the handler
        kept = [pair for pair in self.ready if pair[0].decode("latin-1") not in more]
        made.headers.headers = [
            *kept,
            *((name.encode("latin-1"), str(text).encode("latin-1")) for name, text in more.items()),
        ]
        return made
