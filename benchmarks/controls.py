"""The adapters' conformance suite over what else caches responses: negative controls, that show that it can fail.

The sites are those of tests/adapters, each handler decorated as the product's own documentation does it. What a
control fails says that the suite looks; it is no verdict on a product, which may never have promised the same. Checks
that read the words of our Cache-Status fail for whoever has none; those that pass without any cache ask for nothing of
ours, and to fail one of them is the cache's doing.
"""

import sys
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "adapters"))

import flask_site
import litestar_site
import sites
from conftest import *  # noqa: F403 - the servers
from test_conformance import *  # noqa: F403 - the same suite, over the sites below
from wsgi_servers import Waitress

pytestmark = [pytest.mark.real_time, pytest.mark.filterwarnings("default")]


def decorated(module, decorate, make):
    """Make a site whose handlers are decorated by another cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "cache_response", lambda **_: decorate)
        return make()


def no_cache():
    return decorated(sites, lambda handler: handler, lambda: sites.Site(sites.FRAMEWORKS["fastapi"]))


def fastapi_cache2():
    from fastapi_cache import FastAPICache
    from fastapi_cache.backends.inmemory import InMemoryBackend
    from fastapi_cache.decorator import cache

    FastAPICache.reset()
    InMemoryBackend._store.clear()  # noqa: SLF001 - one for all of its instances
    FastAPICache.init(InMemoryBackend())
    return decorated(sites, cache(expire=60), lambda: sites.Site(sites.FRAMEWORKS["fastapi"]))


def cashews():
    from cashews import Cache

    cache = Cache()
    cache.setup("mem://")
    decorate = cache(ttl=60, key="{request.method}:{request.url}")
    return decorated(sites, decorate, lambda: sites.Site(sites.FRAMEWORKS["fastapi"]))


def hishel():
    import anysqlite  # noqa: F401 - its extra
    from hishel import AsyncSqliteStorage
    from hishel.asgi import ASGICacheMiddleware

    site = no_cache()
    storage = AsyncSqliteStorage(database_path=":memory:", default_ttl=60)
    site.inner = ASGICacheMiddleware(site.inner, storage=storage)
    return site


def flask_caching():
    from flask_caching import Cache

    cache = Cache(config={"CACHE_TYPE": "SimpleCache"})
    site = decorated(flask_site, cache.cached(timeout=60, query_string=True), PlainCached)
    cache.init_app(site.app)
    return site


class PlainCached(flask_site.FlaskSite):
    """Plain views, each decorated."""

    def at(self, _path, *_methods, **options):
        return flask_site.cache_response(**options)


def litestar():
    with pytest.MonkeyPatch.context() as patch:
        get = litestar_site.get
        patch.setattr(litestar_site, "get", lambda *path, **options: get(*path, cache=60, **options))
        return decorated(litestar_site, lambda handler: handler, litestar_site.LitestarSite)


CONTROLS = {
    "no cache": no_cache,
    "cashews": cashews,
    "fastapi-cache2": fastapi_cache2,
    "Flask-Caching": flask_caching,
    "hishel": hishel,
    "Litestar, cache=60": litestar,
}


@pytest.fixture(params=sorted(CONTROLS))
def site(request):
    """Return the endpoints under another cache."""
    site = CONTROLS[request.param]()
    yield site
    site.released.set()


@pytest.fixture
def client(site, request):
    """Return a client of a server that runs the site."""
    if not isinstance(site, PlainCached):
        yield request.getfixturevalue("serve")(site)
        return
    server = Waitress(site)
    server.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        yield client
    server.stop()
    server.join(10)
