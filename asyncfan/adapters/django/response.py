"""Django's responses, taken apart and put together, and what its middlewares do around a view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import conf  # not settings: looked at too early they are an error
from django.http import HttpResponse
from django.http.response import ResponseHeaders
from django.utils import timezone, translation

from ...http.keys import by_name
from ...http.messages import Draft, Headers

__all__ = ["around", "draft_of", "response_of"]


def draft_of(request: Any, response: Any) -> Draft | None:
    """Return the draft of a plain response; None where it streams, has yet to be rendered, or is for one client."""
    if not isinstance(response, HttpResponse) or not getattr(response, "is_rendered", True) or any(_later(request)):
        return None
    pairs = [*response.items(), *(("set-cookie", cookie.OutputString()) for cookie in response.cookies.values())]
    if "content-length" not in response:
        pairs.append(("content-length", str(len(response.content))))
    headers = tuple((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs)
    return Draft(response.status_code, headers, response.content)


def response_of(status: int, headers: Headers, body: bytes) -> HttpResponse:
    """Return a response of ready parts; of several lines with one name Django makes one."""
    response = HttpResponse(body, status=status)
    lines = by_name(headers).items()
    response.headers = ResponseHeaders({name.decode("latin-1"): value.decode("latin-1") for name, value in lines})
    return response


def around() -> dict[str, str | None]:
    """Return what middlewares have chosen for this request: language and time zone, where they are not usual."""
    found: dict[str, str | None] = {}
    if conf.settings.USE_I18N and (language := translation.get_language()) != conf.settings.LANGUAGE_CODE:
        found["*language"] = language
    if conf.settings.USE_TZ and (zone := timezone.get_current_timezone_name()) != conf.settings.TIME_ZONE:
        found["*zone"] = zone
    return found


def _later(request: Any) -> Iterator[Any]:
    """What middlewares will put into the response afterwards that only its own client may have."""
    yield request.META.get("CSRF_COOKIE_NEEDS_UPDATE")  # the cookie of a form's token
    yield getattr(getattr(request, "session", None), "modified", False)
    messages = getattr(request, "_messages", None)
    yield getattr(messages, "used", False) or getattr(messages, "added_new", False)
