"""What is decorated has to answer requests: a dependency gives handlers a value, a WebSocket's handler talks."""

from typing import Annotated

import fastapi
import httpx
import litestar
import pytest
import quart
from litestar.di import NamedDependency, Provide
from quart.testing import WebsocketResponseError

from asyncfan.adapters import fastapi as fastapi_adapter
from asyncfan.adapters import litestar as litestar_adapter
from asyncfan.adapters import quart as quart_adapter
from asyncfan.caching.cache import Cache
from asyncfan.http import cache_response


def in_fastapi():
    """A dependency of a dependency; it and its application."""
    app = fastapi.FastAPI()

    @cache_response(cache=Cache(), adapter=fastapi_adapter.Adapter)
    async def settings(): ...

    async def user(found: Annotated[None, fastapi.Depends(settings)]): ...

    @app.get("/")
    async def page(found: Annotated[None, fastapi.Depends(user)]): ...

    return settings, app


def in_litestar():
    """A dependency, and its application."""

    @cache_response(cache=Cache(), adapter=litestar_adapter.Adapter)
    async def settings() -> None: ...

    @litestar.get("/", dependencies={"found": Provide(settings)})
    async def page(found: NamedDependency[object]) -> None: ...

    return settings, litestar.Litestar([page], openapi_config=None)


@pytest.fixture
def refused(monkeypatch):
    """Return what adapters have refused: frameworks make a bare 500 of it."""
    errors = []
    for framework in (fastapi_adapter, litestar_adapter, quart_adapter):
        opened = framework.Adapter.open

        def watched(self, args, kwargs, opened=opened):
            try:
                return opened(self, args, kwargs)
            except TypeError as error:
                errors.append(str(error))
                raise

        monkeypatch.setattr(framework.Adapter, "open", watched)
    return errors


@pytest.mark.parametrize("make", [in_fastapi, in_litestar])
async def test_dependency_is_refused_by_its_first_request(make, refused):
    """It would give a response in the place of its value; what it is, a framework says no earlier."""
    settings, app = make()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/")).status_code == 500
    message = "is a dependency, and has no response to cache: decorate it with @cache_function"
    assert refused == [f"{settings.__qualname__} {message}"]


async def test_websocket_of_quart_is_refused_by_its_first_client(refused):
    """It would talk to the first one only; a route of Quart's says no earlier that it is one."""
    app = quart.Quart(__name__)

    @app.websocket("/")
    @cache_response(cache=Cache(), adapter=quart_adapter.Adapter)
    async def talk():
        raise NotImplementedError

    with pytest.raises(WebsocketResponseError):
        async with app.test_client().websocket("/") as socket:
            await socket.receive()
    message = "takes a WebSocket, and has no response to cache. Take @cache_response away, or cache what it sends with"
    assert refused == [f"{talk.__qualname__} {message} @cache_function"]
