"""Each mistake with a middleware's rules fails where it is made, in words."""

import re

import pytest

from asyncfan.adapters import asgi, wsgi
from asyncfan.caching.cache import Cache
from asyncfan.http.rules import Rule


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("items", {}, "a rule's path must begin with \"/\", got 'items'"),
        ("/a/**/b", {}, '"**" stands for all that is below, so only at the end of a path, after "/"; got \'/a/**/b\''),
        ("/a**", {}, '"**" stands for all that is below, so only at the end of a path, after "/"; got \'/a**\''),
        ("/a", {"expire": 0}, "expire must be > 0 seconds and finite, or None for good, got 0"),
        ("/a", {"max_body": -1}, "max_body must be >= 0 bytes, got -1"),
        (
            "/a",
            {"max_private_expire": -1},
            "max_private_expire must be > 0 seconds and finite, or None for as long as a given expire, got -1",
        ),
        (
            "/a",
            {"stale_while_revalidate": 0},
            "stale_while_revalidate must be > 0 seconds and finite, or None for not at all, got 0",
        ),
        ("/a", {"stale_if_error": -1}, "stale_if_error must be > 0 seconds and finite, or None for not at all, got -1"),
        ("/a", {"prefix": "a*"}, 'key_prefix must be a text without "*" such as "user:profile", got \'a*\''),
    ],
)
def test_impossible_rule(path, options, message):
    """A rule that makes no sense is refused where it is written."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Rule(path, **options)


async def _who(_):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vary": "X-A"}, "vary must be several names, such as ('X-A',), got 'X-A'"),
        ({"methods": "GET"}, "methods must be several names, such as ('GET',), got 'GET'"),
        ({"cache_level": "low"}, "cache_level must be a CacheLevel, got 'low'"),
        (
            {"stale_if_error": "1"},
            "stale_if_error must be a number of seconds or a timedelta, or None for not at all, got '1'",
        ),
        ({"identity": _who}, "identity must return who is asking, got an async function, which returns a coroutine"),
    ],
)
def test_option_of_a_wrong_type(options, message):
    """An option of the wrong type is refused where it is written."""
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        Rule("/a", **options)


@pytest.mark.parametrize("middleware", [asgi.CacheMiddleware, wsgi.CacheMiddleware])
@pytest.mark.parametrize(
    ("rules", "kind", "message"),
    [
        ([], ValueError, 'nothing is cached without a rule: write rules=[Rule("/items/*", expire=60)]'),
        (["/a"], TypeError, "rules must be several Rule(\"/path\", ...), got '/a'"),
        (
            [Rule("/a", methods=("GET", "POST")), Rule("/a", expire=1)],
            ValueError,
            "<Rule GET '/a'> never counts: an earlier rule has its path and methods",
        ),
    ],
    ids=["none", "a path", "twice"],
)
def test_impossible_rules(middleware, rules, kind, message):
    """Rules of which one can never count, or none at all, are refused by the middleware."""
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        middleware(print, Cache(), rules)


def test_one_rule_in_place_of_several():
    """A single rule is not several."""
    with pytest.raises(TypeError, match=r"^rules must be several Rule\(\"/path\", ...\), got <Rule GET '/a'>$"):
        asgi.CacheMiddleware(print, Cache(), Rule("/a"))
