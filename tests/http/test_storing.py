"""What is stored of a response, and what it weighs."""

import sys

import pytest

from asyncfan.http.messages import Draft
from asyncfan.http.storing import StoreRule

RULE = StoreRule(60.0, clock=lambda: 1000.0)


def _frozen(body=b"", headers=(), **options):
    options = {"method": "GET", "private": False, "named": frozenset(), **options}
    return RULE.freeze(Draft(200, headers, body), 60.0, **options)


def test_a_stored_response_weighs_what_its_body_does():
    """A cache bounded in bytes sees the bodies."""
    assert sys.getsizeof(_frozen(b"x" * 10_000)) - sys.getsizeof(_frozen()) == 10_000


@pytest.mark.parametrize("name", [b"Date", b"Age", b"Connection", b"Transfer-Encoding", b"Cache-Status"])
def test_headers_of_one_connection_are_not_stored(name):
    """What belongs to one message or one hop is left out."""
    assert name.lower() not in dict(_frozen(headers=[(name, b"1")]).headers)


def test_vary_is_completed():
    """Names that the response says itself are not said twice."""
    frozen = _frozen(headers=[(b"Vary", b"Accept, X-A")], named=frozenset({b"x-a", b"x-b"}))
    assert [value for name, value in frozen.headers if name == b"vary"] == [b"Accept, X-A", b"x-b"]


def test_expires_limits_the_lifetime():
    """Expires counts where there is no max-age."""
    headers = [(b"expires", b"Thu, 01 Jan 1970 00:16:50 GMT")]
    assert RULE.lifetime(Draft(200, headers, b""), private=False) == 10


def test_age_from_elsewhere_counts():
    """What a cache behind the handler had kept for a while is that much older here."""
    draft = Draft(200, [(b"age", b"30"), (b"cache-control", b"max-age=50")], b"")
    assert RULE.lifetime(draft, private=False) == 20
    frozen = RULE.freeze(draft, 20, method="GET", private=False, named=frozenset())
    assert (frozen.stored_at, frozen.expire) == (970, 50)
    assert (
        RULE.lifetime(Draft(200, [(b"age", b"50"), (b"cache-control", b"max-age=50")], b""), private=False) == "stale"
    )


def test_entry_for_one_person_has_a_bound_of_its_own():
    """What somebody may see can change."""
    draft, rule = Draft(200, (), b""), StoreRule(3600.0, max_private_expire=300.0)
    assert rule.lifetime(draft, private=True) == 300.0
    assert rule.lifetime(draft, private=False) == 3600.0
    assert StoreRule(3600.0).lifetime(draft, private=True) == 3600.0
