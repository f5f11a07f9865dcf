"""What every framework's adapter keeps, checked through real sockets."""

import functools
import gc
import http.client
import json
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from aiohttp_site import AiohttpSite
from blacksheep_site import BlackSheepSite
from django_site import DjangoSite
from falcon_site import FalconSite
from litestar_site import LitestarSite
from quart_site import QuartSite
from sanic_site import SanicSite
from sites import FRAMEWORKS, Site
from tornado_site import TornadoSite

pytestmark = [
    pytest.mark.real_time,
    # Django's, of any file that it sends under ASGI
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators:Warning"),
]

# {framework, and an ASGI server if it is not uvicorn: its endpoints}
PLACES = {name: functools.partial(Site, make) for name, make in FRAMEWORKS.items()} | {
    "aiohttp": AiohttpSite,
    "blacksheep": BlackSheepSite,
    "blacksheep behind hypercorn": BlackSheepSite,
    "django": DjangoSite,
    "django behind hypercorn": DjangoSite,
    "falcon": FalconSite,
    "falcon behind hypercorn": FalconSite,
    "litestar": LitestarSite,
    "litestar behind hypercorn": LitestarSite,
    "quart": QuartSite,
    "quart behind hypercorn": QuartSite,
    "sanic": SanicSite,
    "tornado": TornadoSite,
}


@pytest.fixture(params=sorted(PLACES))
def site(request):
    """Return the endpoints in one framework."""
    site = PLACES[request.param]()
    asked = {request.function.__name__, request.node.callspec.params.get("path")}
    for lacking in asked & getattr(site, "lacks", {}).keys():
        pytest.skip(site.lacks[lacking])
    return site


@pytest.fixture
def client(site, request):
    """Return a client of a server that runs the site: the framework's own, or an ASGI server."""
    if hasattr(site, "serve"):
        return request.getfixturevalue("serve_itself")(site)
    behind = "hypercorn" in request.node.callspec.params["site"]
    return request.getfixturevalue("serve_behind_hypercorn" if behind else "serve")(site)


def status_of(response):
    """Return what Cache-Status says."""
    return response.headers["cache-status"]


def twice(client, path, **options):
    """Get a path two times."""
    return client.get(path, **options), client.get(path, **options)


def until(condition):
    """Wait for what happens in the server's thread."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def headers_as_query(**headers):
    """Ask /answer for these headers."""
    return {"headers": json.dumps({name.replace("_", "-"): value for name, value in headers.items()})}


# ---- hits and keys


def test_second_request_is_a_hit(client, site):
    """The same request is answered with the same bytes, without the handler."""
    first, second = twice(client, "/item/3")
    assert first.content == second.content
    assert site.calls["item"] == 1
    assert status_of(first) == "asyncfan; fwd=miss; stored"
    assert status_of(second).startswith("asyncfan; hit; ttl=")


def test_order_of_query_names_does_not_matter(client, site):
    """Parameters of different names may come in any order."""
    client.get("/item/3?a=1&b=2")
    client.get("/item/3?b=2&a=1")
    assert site.calls["item"] == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/item/3?t=1&t=2", "/item/3?t=2&t=1"),
        ("/item/3?a=", "/item/3"),
        ("/item/3?a=1&%61=2", "/item/3?%61=2&a=1"),
        ("/item/a%2Fb", "/item/a/b"),
        ("/item/a:b", "/item/a?b"),
        ("/item/3?a=1;b=2", "/item/3?a=1&b=2"),
        ("/item/ab=1", "/item/a?b=1"),
        ("/item/a:b%2Fc", "/item/a%2Fb:c"),
    ],
)
def test_different_requests_have_different_entries(client, one, other):
    """What a handler could tell apart is never answered from one entry."""
    first = client.get(one)
    second = client.get(other)
    assert second.headers.get("cache-status", "fwd=miss").count("hit") == 0
    assert first.headers.get("cache-status", "fwd=miss").count("hit") == 0


def test_methods_of_class_views_have_entries_of_their_own(client, site):
    """A method is cached by path and query, and is not taken for the one of that name in another class."""
    paths = ("/shelf/1", "/box/1", "/shelf/2", "/shelf/1?page=2")
    for _ in range(2):
        texts = [client.get(path).text for path in paths]
        assert texts == ["shelf 1 ", "box 1 ", "shelf 2 ", "shelf 1 page=2"]
    assert (site.calls["shelf"], site.calls["box"]) == (3, 1)


def test_host_is_part_of_the_key(client, site):
    """Two virtual hosts do not share entries."""
    client.get("/item/3", headers={"Host": "one.example"})
    client.get("/item/3", headers={"Host": "two.example"})
    assert site.calls["item"] == 2


def test_address_that_a_proxy_tells_is_part_of_the_key(client, site):
    """Nobody can have an address of their own choice put into what others get."""
    for path in ("/one", "/two", "/one"):
        client.get("/item/3", headers={"X-Original-URL": path})  # of X-Forwarded-Host some servers let nothing through
    assert site.calls["item"] == 2


def test_body_is_part_of_the_key(client, site):
    """Equal POST bodies share an entry, others do not."""
    for ids in ([1, 2], [1, 2], [3]):
        assert client.post("/batch", json=ids).json() == ids
    assert site.calls["batch"] == 2


def test_content_type_of_a_body_is_part_of_the_key(client, site):
    """The same bytes of another type are another request."""
    client.post("/batch", content=b"1", headers={"Content-Type": "application/json"})
    client.post("/batch", content=b"1", headers={"Content-Type": "text/plain"})
    assert site.calls["batch"] == 2


def test_handler_can_still_parse_the_form_that_was_keyed(client, site):
    """Reading the body for the key leaves it readable for the handler."""
    assert client.post("/form", data={"a": "1"}).json() == {"a": "1"}
    assert client.post("/form", data={"a": "2"}).json() == {"a": "2"}
    assert client.post("/form", data={"a": "1"}).json() == {"a": "1"}
    assert site.calls["form"] == 2


def test_get_with_a_body_bypasses(client, site):
    """A GET whose body might matter is not looked up by its URL."""
    for body in (b"1", b"2"):
        # a server may hang up after a body that nobody read
        response = client.request("GET", "/item/3", content=body, headers={"Connection": "close"})
        assert status_of(response) == "asyncfan; fwd=bypass; detail=body"
    assert site.calls["item"] == 2


@pytest.mark.parametrize(
    "clear", [lambda cache: cache.clear("t:item*"), lambda cache: cache.clear_tags("item")], ids=["prefix", "tag"]
)
def test_clear_drops_the_entries_of_a_prefix_and_of_a_tag(client, site, clear):
    """An endpoint's entries and no other's; a handler says its tags wherever its framework runs it."""
    client.get("/item/3")
    client.get("/other")
    clear(site.cache)
    client.get("/item/3")
    client.get("/other")
    assert (site.calls["item"], site.calls["other"]) == (2, 1)


def test_unsafe_method_without_methods_is_refused(client, site):
    """A PUT handler under @cache_response fails loudly instead of being skipped."""
    try:
        response = client.put("/change")
    except httpx.RemoteProtocolError:
        return
    assert response.status_code == 500
    assert site.calls["change"] == 0


# ---- who is asking


def test_authorization_has_entries_of_its_own(client, site):
    """Bob never gets what was stored for Alice, and Alice gets it again."""
    for user in ("alice", "bob", "alice", "bob"):
        response = client.get("/who", headers={"Authorization": f"Bearer {user}"})
        assert response.json()["auth"] == f"Bearer {user}"
        assert response.headers["cache-control"].startswith("private")
    assert client.get("/who").json()["auth"] is None
    assert site.calls["who"] == 3


def test_cookie_has_entries_of_its_own(client, site):
    """A cookie is a credential as well."""
    for user in ("alice", "bob", "alice"):
        assert client.get("/who", headers={"Cookie": f"id={user}"}).json()["cookie"] == f"id={user}"
    assert site.calls["who"] == 2


def test_low_bypasses_for_credentials(client, site):
    """At LOW a request with credentials reaches its handler, whatever is stored."""
    client.get("/low")
    response = client.get("/low", headers={"Authorization": "Bearer alice"})
    assert response.json()["auth"] == "Bearer alice"
    assert status_of(response) == "asyncfan; fwd=bypass; detail=credentials"


def test_low_keys_only_the_named_parameters(client, site):
    """At LOW a parameter that nobody declared does not split the entry."""
    client.get("/low?page=1&utm=a")
    client.get("/low?page=1&utm=b")
    client.get("/low?page=2")
    assert site.calls["low"] == 2


def test_public_shares_among_credentials(client, site):
    """public=True, written by hand, shares one entry among all."""
    client.get("/public", headers={"Authorization": "Bearer alice"})
    response = client.get("/public", headers={"Authorization": "Bearer bob"})
    assert site.calls["public"] == 1
    assert response.headers["cache-control"] == "max-age=60"


def test_high_negotiates(client, site):
    """At HIGH the language asked for is part of the key."""
    for language in ("ko", "en", "ko"):
        assert client.get("/high", headers={"Accept-Language": language}).text == language
    assert site.calls["high"] == 2


def test_identity_separates_people(client, site):
    """What identity= returns decides who shares with whom."""
    for user in ("alice", "bob", "alice"):
        headers = {"X-User": user, "Authorization": f"Bearer {time.monotonic()}"}
        assert client.get("/identity", headers=headers).json() == {"user": user}
    assert site.calls["identity"] == 2


def test_caches_in_front_are_told_what_the_key_depends_on(client):
    """Anonymous answers vary on credentials, unless public: a browser must not show them after login."""
    assert client.get("/who").headers["vary"] == "authorization, cookie"
    assert "vary" not in client.get("/public").headers
    assert client.get("/high").headers["vary"] == "accept, accept-language, authorization, cookie"


# ---- what is stored


@pytest.mark.parametrize("status", [201, 206, 302, 404, 500, 503])
def test_only_successes_are_stored(client, site, status):
    """A failed or partial answer is given to its client only."""
    for response in twice(client, "/answer", params={"status": status}):
        assert response.status_code == status
    assert site.calls["answer"] == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"Cache_Control": "No-Store"},
        {"Cache_Control": "private"},
        {"Cache_Control": "max-age=60, no-cache"},
        {"Cache_Control": "max-age=0"},
        {"Cache_Control": "s-maxage=0, max-age=60"},
        {"Expires": "0"},
        {"Vary": "*"},
        {"Content_Encoding": "gzip-like"},
        {"Content_Range": "bytes 0-1/2"},
        {"Set_Cookie": "a=b"},
    ],
    ids=str,
)
def test_forbidding_header_keeps_a_response_out(client, site, headers):
    """A response that says it is for nobody else is stored for nobody else."""
    twice(client, "/answer", params=headers_as_query(**headers))
    assert site.calls["answer"] == 2


def test_private_response_is_stored_for_its_person(client, site):
    """A private response is stored under a key that names who asked."""
    twice(client, "/answer", params=headers_as_query(Cache_Control="private"), headers={"Authorization": "a"})
    assert site.calls["answer"] == 1


def test_max_age_of_the_response_shortens_the_expiry(client):
    """The response may ask for less time than the decorator, and Cache-Status shows it."""
    _, second = twice(client, "/answer", params=headers_as_query(Cache_Control="max-age=20"))
    assert status_of(second) in {"asyncfan; hit; ttl=20", "asyncfan; hit; ttl=19"}
    assert second.headers["cache-control"] == "max-age=20"


def test_set_cookie_reaches_only_its_own_client(client, site):
    """A cookie is never replayed."""
    alice, bob = (client.get("/cookie", headers={"X-User": user}) for user in ("alice", "bob"))
    assert "session=alice" in alice.headers["set-cookie"]
    assert "session=bob" in bob.headers["set-cookie"]
    assert site.calls["cookie"] == 2


def test_learned_vary_selects_by_request_header(client, site):
    """Once a response has said that it varies on a header, that header is part of the key."""
    for color in ("red", "blue", "red", "blue", "red"):
        assert client.get("/vary", headers={"X-Color": color}).text == color
    assert site.calls["vary"] == 3  # the first one taught the name
    assert client.get("/vary").text == "none"


@pytest.mark.parametrize("path", ["/stream", "/file", "/background"])
def test_what_cannot_be_repeated_passes_untouched(client, site, path):
    """Streams, files and responses with work to do afterwards are sent in full, each time by the handler."""
    first, second = twice(client, path)
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.content == second.content != b""
    said = "asyncfan; fwd=miss; detail=unrepeatable"  # if the headers had not been sent before anybody could say it
    assert second.headers.get("cache-status", said) == said
    assert site.calls[path[1:]] == 2


@pytest.mark.filterwarnings("ignore:Exception ignored in.*SpooledTemporaryFile")  # Django's, behind Hypercorn
def test_stream_that_breaks_is_neither_completed_nor_stored(client, site):
    """Not even by an expired response that may be sent where the handler fails: its begin is with the client already."""
    assert client.get("/cut").text == "whole"
    clock = site.cache.clock
    site.cache.clock = lambda: clock() + 400
    received, broke = b"", False
    try:
        with client.stream("GET", "/cut") as response:
            for chunk in response.iter_raw():
                received += chunk
    except httpx.RemoteProtocolError:
        broke = True
    # nobody can see it in HTTP/1.0, nor where the framework itself ends a response whose handler has failed
    seen = response.http_version != "HTTP/1.0" and not getattr(site, "ends_what_breaks", False)
    assert (received, broke) == (b"begun", seen)
    whole = client.get("/cut")
    assert (whole.text, status_of(whole), site.calls["cut"]) == ("whole", "asyncfan; fwd=miss; stored", 3)
    gc.collect()


def test_events_are_sent_as_they_come(client, site):
    """Server-sent events are neither held back nor stored, and who asks next does not wait for their end."""
    with client.stream("GET", "/sse") as one, client.stream("GET", "/sse") as other:
        readers = [filter(None, response.iter_lines()) for response in (one, other)]
        assert [next(events) for events in readers] == ["data: 0"] * 2
        site.released.set()
        assert [next(events) for events in readers] == ["data: 1"] * 2
        assert one.headers["content-type"].startswith("text/event-stream")
    assert site.calls["sse"] == 2


def test_events_end_with_their_client(client, site):
    """A client that leaves ends the events that were made for it."""
    with client.stream("GET", "/sse") as response:
        next(response.iter_lines())
        site.released.set()
    until(lambda: site.ended)


def test_background_task_runs_once_a_request(client, site):
    """A background task runs as often as its handler."""
    twice(client, "/background")
    until(lambda: site.calls["task"] == 2)


def test_header_that_a_middleware_adds_is_added_once(client):
    """What is added to a response on its way out is not stored with it, and does not pile up."""
    assert [client.get("/other").headers["x-passed"] for _ in range(4)] == ["1"] * 4


def test_redirect_is_stored_with_its_location(client, site):
    """A permanent redirect comes back whole."""
    first, second = twice(client, "/redirect")
    assert second.status_code == 308
    assert second.headers["location"] == first.headers["location"] == "/other"
    assert site.calls["redirect"] == 1


def test_body_above_max_body_is_not_stored(client, site):
    """A larger body than allowed is sent but not kept."""
    twice(client, "/big?size=1001")
    twice(client, "/big?size=1000")
    assert site.calls["big"] == 3


def test_handlers_own_entity_tag_stays(client):
    """An ETag of the handler is not replaced, and is what conditions are compared with."""
    params = headers_as_query(ETag='"v1"')
    assert client.get("/answer", params=params).headers["etag"] == '"v1"'
    assert client.get("/answer", params=params, headers={"If-None-Match": 'W/"v1"'}).status_code == 304


# ---- validators and requests' wishes


def test_matching_tag_is_answered_with_304(client):
    """A client that has the response gets its headers only."""
    first = client.get("/item/3")
    tag = first.headers["etag"]
    for condition in (tag, f'"other", {tag}', "*", tag.removeprefix("W/")):
        response = client.get("/item/3", headers={"If-None-Match": condition})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == tag
        assert response.headers["cache-control"] == first.headers["cache-control"]
        assert "content-type" not in response.headers
    assert client.get("/item/3", headers={"If-None-Match": '"other"'}).status_code == 200


def test_fresh_response_is_compared_too(client):
    """A condition that holds for a response just made is answered with 304 as well."""
    tag = client.get("/other").headers["etag"].encode()
    assert client.get("/item/3", headers={"If-None-Match": tag}).status_code == 200
    assert client.get("/item/4", headers={"If-None-Match": "*"}).status_code == 304


def test_tag_of_another_path_is_none_of_this_one(client):
    """A client that knows the tag of one path learns nothing of another one by it."""
    tag = client.get("/other").headers["etag"]
    client.get("/item/3")
    response = client.get("/item/3", headers={"If-None-Match": tag})
    assert response.status_code == 200
    assert "hit" in status_of(response)
    assert client.get("/no/such/path", headers={"If-None-Match": tag}).status_code == 404


def test_header_on_two_lines_is_one_list(client):
    """A condition or a wish may come on several lines."""
    tag = client.get("/item/3").headers["etag"]
    assert client.get("/item/3", headers=[("If-None-Match", '"x"'), ("If-None-Match", tag)]).status_code == 304
    response = client.get("/item/3", headers=[("Cache-Control", "foo"), ("Cache-Control", "no-store")])
    assert status_of(response) == "asyncfan; fwd=request; detail=no-store"


def test_compression_is_of_an_answer_and_of_no_entry(client, site):
    """The framework's own compression compresses a hit for who accepts it; the tag still stands for both."""
    codings = ("gzip", "identity", "gzip", "identity")
    answers = [client.get("/wide", headers={"Accept-Encoding": coding}) for coding in codings]
    assert [answer.headers.get("content-encoding", "identity") for answer in answers] == list(codings)
    assert {answer.text for answer in answers} == {"text " * 400}
    assert "accept-encoding" in answers[0].headers["vary"].lower()
    (tag,) = {answer.headers["etag"] for answer in answers}
    assert tag.startswith("W/")
    for coding in codings:
        known = client.get("/wide", headers={"Accept-Encoding": coding, "If-None-Match": tag})
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
    assert site.calls["wide"] == 1


def test_post_has_no_validators(client):
    """POST answers carry neither ETag nor Cache-Control, and conditions on them count for nothing."""
    client.post("/batch", json=1)
    response = client.post("/batch", json=1, headers={"If-None-Match": "*"})
    assert response.status_code == 200
    assert "hit" in status_of(response)
    assert not {"etag", "cache-control"} & set(response.headers)


def test_age_counts_up(client):
    """A hit says for how many seconds it has been stored; a fresh response does not."""
    first, second = twice(client, "/item/3")
    assert "age" not in first.headers
    assert second.headers["age"] in {"0", "1"}


@pytest.mark.parametrize("wish", ["no-cache", "max-age=0", "Max-Age=0, foo"])
def test_client_may_ask_for_a_fresh_response(client, site, wish):
    """no-cache runs the handler and replaces the entry for everybody."""
    client.get("/item/3")
    response = client.get("/item/3", headers={"Cache-Control": wish})
    assert status_of(response) == "asyncfan; fwd=request; stored"
    assert client.get("/item/3").json()["n"] == 2
    assert site.calls["item"] == 2


def test_client_may_refuse_to_be_stored(client, site):
    """no-store neither reads nor writes the cache."""
    client.get("/item/3", headers={"Cache-Control": "no-store"})
    assert "fwd=miss" in status_of(client.get("/item/3"))
    assert client.get("/item/3", headers={"Cache-Control": "no-store"}).json()["n"] == 3


def test_only_if_cached_never_runs_the_handler(client, site):
    """only-if-cached gets a hit, or 504."""
    wish = {"Cache-Control": "only-if-cached"}
    assert client.get("/item/3", headers=wish).status_code == 504
    client.get("/item/3")
    assert client.get("/item/3", headers=wish).status_code == 200
    assert site.calls["item"] == 1


def test_clients_wishes_can_be_switched_off(client, site):
    """An endpoint may ignore clients' Cache-Control, and say nothing of its cache."""
    client.get("/quiet")
    response = client.get("/quiet", headers={"Cache-Control": "no-cache"})
    assert site.calls["quiet"] == 1
    assert "cache-status" not in response.headers


def test_head_is_answered_from_a_get_and_makes_no_entry(client, site):
    """HEAD alone stores nothing; after a GET it gets that one's headers."""
    client.head("/item/3")
    first = client.get("/item/3")
    assert "fwd=miss" in status_of(first)
    response = client.head("/item/3")
    assert "hit" in status_of(response)
    assert response.content == b""
    assert response.headers["content-length"] == first.headers["content-length"]
    assert site.calls["item"] == 2


# ---- many at once


def test_cold_key_runs_the_handler_once(client, site):
    """Twenty requests at once on a cold key are one run of the handler."""
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(httpx.get, f"{client.base_url}/slow") for _ in range(20)]
        until(lambda: site.arrived["/slow"] == 20)
        site.released.set()
        texts = [answer.result().text for answer in answers]
    assert texts == ["slow 1"] * 20


def test_uncacheable_result_is_not_shared(client, site):
    """Requests that waited for a response which nobody else may have get one of their own."""
    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(httpx.get, f"{client.base_url}/slow?cookie=1") for _ in range(5)]
        until(lambda: site.arrived["/slow"] == 5)
        site.released.set()
        texts = {answer.result().text for answer in answers}
    assert len(texts) == 5


def test_failure_reaches_everybody_who_waited_and_is_not_stored(client, site):
    """An exception is each waiter's own 500; the next request runs the handler again."""
    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(httpx.get, f"{client.base_url}/slow?error=1") for _ in range(5)]
        until(lambda: site.arrived["/slow"] == 5)
        site.released.set()
        assert {answer.result().status_code for answer in answers} == {500}
    before = site.calls["slow"]
    client.get("/slow?error=1")
    assert site.calls["slow"] == before + 1


def test_followers_of_a_disconnected_leader_elect_another(client, site):
    """When the client whose request runs the handler hangs up, one of those that wait takes over."""
    host, port = client.base_url.host, client.base_url.port
    leader = socket.create_connection((host, port))
    leader.sendall(f"GET /slow HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    until(lambda: site.calls["slow"] == 1)
    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(httpx.get, f"{client.base_url}/slow") for _ in range(5)]
        until(lambda: site.arrived["/slow"] == 6)
        leader.close()
        until(lambda: site.calls["slow"] == 2)
        site.released.set()
        texts = [answer.result().text for answer in answers]
    assert texts == ["slow 2"] * 5


def test_plain_handlers_run_side_by_side(client):
    """Eight plain functions that wait for each other all end: they don't hold the event loop."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: client.get(f"/sync/{i}"), range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert threading.main_thread().name not in {answer.text for answer in answers}


def test_flood_of_wishes_does_not_reach_the_handler(client, site):
    """Whoever asks for a fresh response over and over gets the stored one most of the time."""
    client.get("/item/3")
    began = time.monotonic()
    for _ in range(20):
        client.get("/item/3", headers={"Cache-Control": "no-cache"})
    assert site.calls["item"] <= 3 + time.monotonic() - began


def test_many_hosts_do_not_grow_the_memory(client, site):
    """Made-up hosts leave no more entries than the cache may have."""
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port)
    for i in range(250):
        connection.request("GET", "/other", headers={"Host": f"h{i}.example"})
        connection.getresponse().read()
    connection.close()
    assert site.calls["other"] == 250
    assert len(site.cache) <= 200
