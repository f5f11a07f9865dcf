"""Two requests that a handler could tell apart never have one key, and levels widen it as the table says."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfan.caching.calls.level import CacheLevel
from asyncfan.caching.loads.tiering import is_shareable
from asyncfan.context import scope
from asyncfan.http.keys import Key, KeyRule, by_name, normalised_query
from asyncfan.http.messages import Declared, RequestParts

QUERY = st.text("ab=&%61+;2:*#", max_size=12).map(str.encode)
PATH = st.text("a/:%2F*?#", max_size=6).map(lambda text: f"/{text}".encode())
HEADERS = st.dictionaries(st.sampled_from([b"host", b"authorization", b"cookie", b"x-color"]), st.binary(max_size=3))
REQUEST = st.tuples(st.sampled_from(["GET", "POST"]), PATH, QUERY, HEADERS, st.text(":=ab", max_size=3))


def rule(level=CacheLevel.MEDIUM, declared=None, **options):
    """Return a rule for a route."""
    return KeyRule("p:q", level, declared or Declared(), **options)


def key(  # noqa: PLR0917 - a request, as told_apart() takes it
    rule, method="GET", path=b"/", query=b"", headers=None, arguments="", **options
):
    """Return the key of a request."""
    parts = RequestParts(method, "http", path, query, list((headers or {}).items()))
    return rule.key(parts, by_name(parts.headers), arguments=arguments, **options)


def told_apart(method, path, query, headers, arguments):
    """What a handler sees of a request, as far as names sort."""
    pairs = parse_qsl(query.decode(), keep_blank_values=True)
    host = headers.get(b"host", b"").lower()
    seen = {name: value for name, value in headers.items() if name != b"host"}
    return method, path, sorted(pairs, key=lambda pair: pair[0]), host, seen, arguments


@given(REQUEST, REQUEST)
def test_one_key_means_one_request(one, other):
    """Equal keys come only from requests that are equal to a handler."""
    varied = rule(vary=["X-Color"])
    if key(varied, *one) == key(varied, *other):
        assert told_apart(*one) == told_apart(*other)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "%61", "c+"]), st.sampled_from(["1", "2", ""])), max_size=6))
def test_normalised_query_means_the_same(pairs):
    """A normalised query is parsed to the same values by name, in the same order."""

    def values(query):
        found = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            found.setdefault(name, []).append(value)
        return found

    query = "&".join(f"{name}={value}" for name, value in pairs)
    assert values(normalised_query(query.encode())) == values(query)


@given(st.permutations(["a=1", "b=2", "c=", "d"]))
def test_names_may_come_in_any_order(texts):
    """The order of different names is no part of the key."""
    assert normalised_query("&".join(texts).encode()) == "a=1&b=2&c=&d"


def test_key_begins_with_the_prefix():
    """Wildcards of cache.clear find a key by its prefix, and no request can forge one."""
    found = key(rule(), path=b"/x:*", query=b"a=*:")
    assert found.text.startswith("p:q:GET:http:")
    assert "*" not in found.text
    assert found.text.count(":") == 6


def test_long_queries_are_digested():
    """A key stays short, whatever the client sends."""
    one, other = (key(rule(), query=b"a=" + b"1" * n) for n in (5000, 5001))
    assert len(one.text) < 200
    assert one != other
    assert is_shareable(one.text)  # processes may share it like any other
    assert not is_shareable(key(rule(), arguments=f"({'x' * 300}~a.b.#1)").text)


def test_head_has_the_key_of_get():
    """A HEAD request asks for what a GET stored."""
    assert key(rule(), "HEAD") == key(rule(), "GET")


@pytest.mark.parametrize(
    ("level", "differs"),
    [(CacheLevel.LOW, set()), (CacheLevel.MEDIUM, {"tenant"}), (CacheLevel.HIGH, {"tenant", "locale"})],
)
def test_surroundings_by_level(level, differs):
    """The tenant counts from MEDIUM on, every other ambient value at HIGH."""
    for name in ("tenant", "locale"):
        with scope(**{name: "a"}):
            one = key(rule(level))
        with scope(**{name: "b"}):
            other = key(rule(level))
        assert (one != other) == (name in differs)


@pytest.mark.parametrize("headers", [{b"authorization": b"x"}, {b"cookie": b"x"}, {b"proxy-authorization": b"x"}])
def test_credentials_by_level(headers):
    """Credentials bypass at LOW, and are part of a private key above; the key does not show them."""
    assert key(rule(CacheLevel.LOW), headers=headers) == "credentials"
    for level in (CacheLevel.MEDIUM, CacheLevel.HIGH):
        found, other = (key(rule(level), headers=dict.fromkeys(headers, value)) for value in (b"secret", b"other"))
        assert found.private
        assert found != other
        assert "secret" not in found.text


ANN = {b"authorization": b"Bearer 1"}, {"identity": "ann"}
ANN_AGAIN = {b"authorization": b"Bearer 2"}, {"identity": "ann"}
BOB = {b"authorization": b"Bearer 3"}, {"identity": "bob"}
TOKEN, OTHER_TOKEN = ({b"cookie": b"id=1"}, {}), ({b"cookie": b"id=2"}, {})
NOBODY = {}, {}


@pytest.mark.parametrize(
    ("one", "other", "options", "expected"),
    [
        (NOBODY, NOBODY, {}, ("shared", "shared", "shared")),
        (TOKEN, OTHER_TOKEN, {}, ("bypass", "own", "own")),
        (TOKEN, NOBODY, {}, ("bypass", "own", "own")),
        (ANN, BOB, {}, ("bypass", "own", "own")),
        (ANN, ANN_AGAIN, {}, ("bypass", "shared", "shared")),
        (ANN, BOB, {"public": True}, ("shared", "shared", "shared")),
        (TOKEN, NOBODY, {"public": True}, ("shared", "shared", "shared")),
    ],
)
def test_what_is_cached_for_whom(one, other, options, expected):
    """Two requests share an entry, have one each or bypass the cache as the table of the README says."""
    for level, kept in zip(CacheLevel, expected, strict=True):
        keys = [key(rule(level, **options), headers=headers, **who) for headers, who in (one, other)]
        shares = "shared" if keys[0] == keys[1] else "own"
        assert (shares if isinstance(keys[0], Key) else "bypass") == kept


def test_public_drops_credentials():
    """public=True makes one entry for all, at every level."""
    for level in CacheLevel:
        everybody = rule(level, public=True)
        assert key(everybody, headers={b"authorization": b"x"}) == key(everybody)


def test_ambient_principal_replaces_credentials():
    """The principal of the surrounding scope is who is asking, whatever the token; at LOW it bypasses."""
    with scope(principal="alice"):
        one, other = (key(rule(), headers={b"authorization": token}) for token in (b"1", b"2"))
        assert key(rule(CacheLevel.LOW)) == "credentials"
    assert one == other
    assert one.private
    with scope(principal="bob"):
        assert key(rule(), headers={b"authorization": b"1"}) != one


def test_high_refuses_credentials_that_nobody_resolves():
    """At HIGH with identity=, a token that stands for nobody bypasses; no credentials are anonymous."""
    high = rule(CacheLevel.HIGH)
    assert key(high, headers={b"authorization": b"x"}, resolves=True) == "unresolved-credentials"
    assert isinstance(key(high, resolves=True), Key)


def test_absent_header_is_not_an_empty_one():
    """Varying on a header tells its absence from an empty value."""
    varied = rule(vary=["X-Color"])
    assert key(varied) != key(varied, headers={b"x-color": b""})


def test_learned_names_are_part_of_later_keys():
    """What learn() adds selects from then on; LOW learns nothing, and nobody learns without bound."""
    learning = rule()
    before = key(learning, headers={b"x-a": b"1"})
    assert learning.learn([b"x-a"])
    assert key(learning, headers={b"x-a": b"1"}) not in {before, key(learning, headers={b"x-a": b"2"})}
    assert not rule(CacheLevel.LOW).learn([b"x-a"])
    assert not learning.learn(f"x-{i}".encode() for i in range(50))


def test_repeated_headers_are_joined():
    """Two lines of one header are one value, in order."""
    assert by_name([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]) == {b"a": b"1,3", b"b": b"2"}


@pytest.mark.parametrize("options", [{}, {"public": True}, {"level": CacheLevel.LOW}], ids=["medium", "public", "low"])
@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        (b"x-forwarded-host", b"a.example", b"b.example"),
        (b"x-forwarded-proto", b"http", b"https"),
        (b"x-original-url", b"/a", b"/b"),
        (b"x-http-method-override", b"DELETE", b"GET"),
        (b"forwarded", b"for=1.2.3.4;host=a.example", b'for=1.2.3.4; Host = "b.example"'),
    ],
)
def test_header_that_may_say_where_a_request_goes_is_in_every_key(options, name, one, other):
    """Nobody can have a host of their own choice put into the links of others, at any level."""
    keys = [key(rule(**options), headers={name: value}) for value in (one, other)] + [key(rule(**options))]
    assert len({found.text for found in keys}) == 3
    assert not any(found.private for found in keys)


def test_forwarded_says_nothing_of_who_is_asking():
    """The address of a client is in no key, so that clients behind a proxy share entries."""
    keys = {key(rule(), headers={b"forwarded": b"for=%d.2.3.4;by=proxy" % i}) for i in range(3)}
    assert keys == {key(rule())}


def test_key_shows_no_credentials():
    """Of a token or a cookie nothing is in the key but a digest of 192 bits."""
    text = key(rule(), headers={b"authorization": b"Bearer abc", b"cookie": b"id=abc"}).text
    assert "abc" not in text
    assert len(text.rpartition(":w=c#")[2]) == 48


def test_remembered_lines_are_bounded():
    """However many hosts are made up, a route remembers no more than so many request lines."""
    route = rule()
    for number in range(3000):
        key(route, headers={b"host": b"%d.example" % number})
    assert len(route._request_lines) <= 1024
