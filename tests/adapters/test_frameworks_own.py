"""What is peculiar to one framework: its ways to answer, to guard and to declare."""

import asyncio
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession, FormData, web
from aiohttp.test_utils import TestServer
from blacksheep import Application, FromCookie, FromHeader, Response, Router
from blacksheep.server.controllers import Controller
from blacksheep.server.controllers import get as get_in_controller
from falcon.asgi import App
from sanic import Sanic
from tornado.web import RequestHandler

from asyncfan.caching.cache import Cache
from asyncfan.http import cache_response

pytestmark = pytest.mark.real_time

x = Path, sys, asyncio, Application, App, Sanic, RequestHandler, Response, Router, FromHeader, FromCookie, Controller, get_in_controller


async def test_raised_answers_of_aiohttp_reach_each_client():
    """Five that wait for one handler get each its own 404: aiohttp sends a response object only once."""
    calls = []
    gate = asyncio.Event()

    @cache_response(cache=Cache())
    async def missing(request):
        calls.append(request)
        await gate.wait()
        raise web.HTTPNotFound(text="no such thing")

    app = web.Application()
    app.router.add_get("/", missing)
    async with TestServer(app) as server, ClientSession() as client:
        answers = [asyncio.ensure_future(client.get(server.make_url("/"))) for _ in range(5)]
        while not calls:
            await asyncio.sleep(0)
        gate.set()
        found = [((await answer).status, await (await answer).text()) for answer in answers]
    assert found == [(404, "no such thing")] * 5


async def test_raised_redirect_of_aiohttp_is_stored():
    """A permanent redirect that is raised is an answer like any other."""
    calls = []

    @cache_response(cache=Cache())
    async def moved(request):
        calls.append(request)
        raise web.HTTPMovedPermanently("/new")

    app = web.Application()
    app.router.add_get("/", moved)
    async with TestServer(app) as server, ClientSession() as client:
        for _ in range(2):
            async with client.get(server.make_url("/"), allow_redirects=False) as answer:
                assert (answer.status, answer.headers["location"]) == (301, "/new")
    assert len(calls) == 1


async def test_multipart_form_of_aiohttp_can_be_parsed_after_it_was_keyed():
    """Equal uploads share an entry, others do not, and the handler reads them all."""
    calls = []

    @cache_response(cache=Cache())
    async def upload(request):
        calls.append(request)
        form = await request.post()
        return web.Response(text=form["file"].file.read().decode())

    app = web.Application()
    app.router.add_post("/", upload)
    async with TestServer(app) as server, ClientSession() as client:
        for text in ("one", "two"):
            form = FormData()
            form.add_field("file", text.encode(), filename="f.txt")
            async with client.post(server.make_url("/"), data=form) as answer:
                assert await answer.text() == text
    assert len(calls) == 2


async def test_body_that_a_middleware_of_aiohttp_read_in_part_bypasses():
    """What is left of a body is no key."""

    @web.middleware
    async def peek(request, handler):
        await request.content.read(1)
        return await handler(request)

    @cache_response(cache=Cache())
    async def rest(request):
        return web.Response(body=await request.read())

    app = web.Application(middlewares=[peek])
    app.router.add_post("/", rest)
    async with TestServer(app) as server, ClientSession() as client:
        for text in ("axx", "bxx"):
            async with client.post(server.make_url("/"), data=text.encode()) as answer:
                assert answer.headers["cache-status"] == "asyncfan; fwd=bypass; detail=body"
                assert await answer.text() == "xx"
