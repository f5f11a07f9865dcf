"""The WSGI middleware answers hits alone, runs its application where it always ran, and holds back no stream."""

import asyncio
import io
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from asyncfan import scope
from asyncfan.adapters.wsgi import CacheMiddleware, Rule
from asyncfan.caching.cache import Cache

pytestmark = pytest.mark.real_time  # it is about threads


@pytest.fixture
def behind():
    """Return a way to put an application behind the middleware."""
    made = []

    def put(app, *rules, cache=None, **options):
        cache = Cache() if cache is None else cache
        made.append(CacheMiddleware(app, cache, rules or [Rule("/a", **{"vary": (), **options})]))
        return made[-1]

    yield put
    for site in made:
        site.close()


class Answer:
    """What the server is given for one request."""

    def __init__(self, site, path="/a", method="GET", body=b"", **environ):
        self.given = site(
            {
                "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": "", "wsgi.url_scheme": "http",
                "SERVER_NAME": "t", "SERVER_PORT": "80", "wsgi.input": io.BytesIO(body),
                "CONTENT_LENGTH": str(len(body)) if body else "", **environ,
            },
            self._start,
        )  # fmt: skip

    def _start(self, status, headers, exc_info=None):
        self.status, self.headers = status, dict(headers)

    @property
    def body(self):
        """All of it."""
        try:
            return b"".join(self.given)
        finally:
            getattr(self.given, "close", lambda: None)()

    @property
    def cached(self):
        """What Cache-Status says."""
        return {name.lower(): value for name, value in self.headers.items()}.get("cache-status", "")[
            len("asyncfan; ") :
        ]


def hello(calls, headers=()):
    """Return an application that counts."""

    def app(environ, start_response):
        calls.append(threading.get_ident())
        start_response("200 OK", [("Content-Type", "text/plain"), *headers])
        return [b"hel", b"lo"]

    return app


def test_hit_does_not_touch_the_application(behind):
    """The same request is answered by the middleware alone."""
    calls = []
    site = behind(hello(calls))
    first, second = Answer(site), Answer(site)
    assert first.body == second.body == b"hello"
    assert (first.cached, second.status, len(calls)) == ("fwd=miss; stored", "200 OK", 1)
    assert second.headers["content-length"] == "5"


def test_application_runs_in_the_thread_of_its_server(behind):
    """What an application keeps by thread is where it always was."""
    calls = []
    assert Answer(behind(hello(calls))).body == b"hello"
    assert calls == [threading.get_ident()]


def test_hit_is_answered_in_the_thread_of_its_server(behind):
    """What is stored needs no other thread, nor does what no other request could wait for."""
    calls = []
    site = behind(hello(calls))
    assert Answer(site).body == b"hello"
    site.close()
    before = set(threading.enumerate())
    assert Answer(site).cached.startswith("hit; ttl=")
    assert Answer(site, HTTP_CACHE_CONTROL="no-store").cached == "fwd=request; detail=no-store"
    assert Answer(site, "/a", "HEAD").cached.startswith("hit; ttl=")
    assert set(threading.enumerate()) <= before
    assert calls == [threading.get_ident()] * 2


def test_tenant_of_an_outer_middleware_is_part_of_the_key(behind):
    """What is declared around the middleware, in the server's thread, keeps tenants apart, hit or miss."""
    calls = []
    site = behind(hello(calls, [("Vary", "Accept-Language")]))  # taught by the first response
    said = []
    for tenant in "abab":
        with scope(tenant=tenant):
            said.append(Answer(site, HTTP_ACCEPT_LANGUAGE="ko").cached.partition(";")[0])
    assert said == ["fwd=miss", "fwd=miss", "fwd=miss", "hit"]
    assert len(calls) == 3


def test_nothing_is_started_by_making_one():
    """A middleware makes no event loop and no thread before the first request."""
    before = set(threading.enumerate())
    CacheMiddleware(hello([]), Cache(), [Rule("/a")])
    assert set(threading.enumerate()) <= before


def test_cold_key_runs_the_application_once(behind):
    """Requests at the same time are one run."""
    calls, gate = [], threading.Event()

    def app(environ, start_response):
        calls.append(1)
        gate.wait(10)
        start_response("200 OK", [])
        return [b"x"]

    site = behind(app)
    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(lambda: Answer(site).body) for _ in range(5)]
        while not calls:
            pass
        gate.set()
        assert [answer.result() for answer in answers] == [b"x"] * 5
    assert len(calls) == 1


def test_stream_is_given_as_it_is(behind):
    """A response whose end is not in sight is the application's own iterable."""

    def app(environ, start_response):
        start_response("200 OK", [])
        return stream

    class Stream:
        def __iter__(self):
            return iter([b"a", b"b"])

    stream = Stream()
    assert Answer(behind(app)).given is stream


def test_generator_that_starts_late_is_streamed_and_closed(behind):
    """An application that says its status with its first part streams; it learns when its response is over."""
    closed = []

    def app(environ, start_response):
        start_response("200 OK", [])
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.append(1)

    answer = Answer(behind(app))
    assert answer.status == "200 OK"
    assert closed == []
    assert (answer.body, answer.cached, closed) == (b"ab", "fwd=miss; detail=unrepeatable", [1])


def test_written_parts_come_first(behind):
    """What an application writes by the old callable is part of its response."""

    def app(environ, start_response):
        start_response("200 OK", [])(b"a")
        return [b"b"]

    site = behind(app)
    assert [Answer(site).body for _ in range(2)] == [b"ab"] * 2


def test_large_response_is_not_stored(behind):
    """A response above max_body is sent in full, each time by the application."""
    calls = []
    site = behind(hello(calls), max_body=4)
    assert [Answer(site).body for _ in range(2)] == [b"hello"] * 2
    assert len(calls) == 2


def test_error_of_the_application_is_the_servers_to_handle(behind):
    """An exception passes through, also one that a future would not take; the next request asks again."""

    def app(environ, start_response):
        raise errors.pop()

    errors = [StopIteration(), KeyError("k")]
    site = behind(app)
    with pytest.raises(KeyError, match=r"^'k'$"):
        Answer(site)
    with pytest.raises(RuntimeError, match="StopIteration"):
        Answer(site)


def test_interrupt_of_the_application_ends_its_request_alone(behind):
    """KeyboardInterrupt reaches the server in the thread where it was raised; the middleware goes on."""
    calls = []

    def app(environ, start_response):
        if not calls:
            calls.append(1)
            raise KeyboardInterrupt
        start_response("200 OK", [])
        return [b"x"]

    site = behind(app)
    with pytest.raises(KeyboardInterrupt):
        Answer(site)
    assert Answer(site).body == b"x"


def test_application_reads_the_body_that_was_keyed(behind):
    """A body is part of the key, and reaches the application; one too long for a key reaches it as well."""
    read = []

    def app(environ, start_response):
        read.append(environ["wsgi.input"].read())
        start_response("200 OK", [])
        return [b"x"]

    site = behind(app, methods=("POST",))
    for body in (b"a", b"a", b"b"):
        Answer(site, method="POST", body=body)
    assert read == [b"a", b"b"]
    assert Answer(site, method="POST", body=b"x" * 70_000).cached == "fwd=bypass; detail=body"
    assert len(read[-1]) == 70_000


def test_stale_response_is_served_at_once_and_renewed(behind):
    """After its expiry a response is sent as it was; a copy of the request brings the next one, on no conditions."""
    seen, done, now = [], threading.Event(), [0.0]

    def app(environ, start_response):
        seen.append(environ)
        start_response("200 OK", [])
        if len(seen) == 2:
            done.set()
        return [b"%d" % len(seen)]

    site = behind(app, cache=Cache(clock=lambda: now[0]), expire=10, stale_while_revalidate=60)
    assert Answer(site).body == b"1"
    now[0] = 15
    assert Answer(site, HTTP_IF_NONE_MATCH='"x"').body == b"1"
    assert done.wait(10)
    deadline = threading.Event()
    while Answer(site).body != b"2":
        deadline.wait(0.01)
    assert "HTTP_IF_NONE_MATCH" not in seen[1]
    assert len(seen) == 2


def test_successful_change_drops_what_is_stored_of_its_path(behind):
    """With clear_on_unsafe, a POST that succeeds clears the path."""
    calls = []
    site = behind(hello(calls), clear_on_unsafe=True)
    for method in ("GET", "POST", "GET"):
        Answer(site, method=method)
    assert len(calls) == 3


def test_raw_path_is_the_key_where_the_server_tells_it(behind):
    """Two spellings of one path are two keys; a raw path that is of another request counts for nothing."""
    calls = []
    site = behind(hello(calls), Rule("/é", vary=()))
    path = "/é".encode().decode("latin-1")
    for raw in ("/%c3%a9", "/%C3%A9", None, "/other"):
        Answer(site, path, **({"RAW_URI": raw} if raw else {}))
    assert len(calls) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_forked_server_starts_a_thread_of_its_own(behind, tmp_path):
    """A server that forks after the first request answers in the child too."""
    import os
    import warnings

    site = behind(hello([]))
    assert Answer(site).body == b"hello"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork
        child = os.fork()
    if not child:
        done = Answer(site).body + Answer(site, QUERY_STRING="x").body == b"hellohello"
        os._exit(0 if done else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


async def test_it_works_where_an_event_loop_runs(behind):
    """A thread with an event loop, as of a framework that runs WSGI in it, is served too."""
    assert (await asyncio.to_thread(Answer, behind(hello([])))).body == b"hello"
