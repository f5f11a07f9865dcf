"""Cached functions as Strawberry's resolvers: who may share what is said, and loaders belong to one operation."""

import asyncio
import contextlib
import inspect
import json
import re
from collections.abc import AsyncGenerator

import httpx
import pytest
import strawberry
from strawberry.asgi import GraphQL
from strawberry.extensions import SchemaExtension
from strawberry.permission import BasePermission
from strawberry.types.info import Info

from asyncfan import Cache, CacheLevel, UnkeyableArgumentError, batched, register_key
from asyncfan.adapters.strawberry import OperationScope
from asyncfan.testing import Gate

WAYS = (
    "of type strawberry.types.info.Info tells who is asking, so only you can say who may share a result. Do one of: "
    "ignore=('info',) if it is the same for everybody; key=lambda ...: (..., info.context['user_id']) to build the key "
    "from the arguments and from what tells callers apart; ignore=('info',), cache_level=CacheLevel.HIGH where "
    "asyncfan.adapters.strawberry.OperationScope declares the principal"
)


class Allowed(BasePermission):
    async def has_permission(self, source, info, **kwargs):
        return True


class Waiting(SchemaExtension):
    """Lets other operations begin between the beginnings of one operation's extensions."""

    async def on_operation(self):
        await asyncio.sleep(0)
        yield


class World:
    """A schema, and what was asked of the sources below it."""

    def __init__(self):  # noqa: C901 - a list of small resolvers
        loads, cache = [], Cache()
        self.loads, self.gate, self.ended = loads, Gate(), []

        @batched
        async def names(numbers):
            loads.append(("names", sorted(numbers)))
            return {number: f"item {number}" for number in numbers}

        @batched
        async def slow(numbers):
            with self.ending("slow"):
                await self.gate.enter()

        @cache.cache_function(expire=60)
        async def kept():
            with self.ending("kept"):
                await self.gate.enter()

        @strawberry.type
        class Item:
            number: int

            @strawberry.field
            async def name(self) -> str:
                return await names(self.number)

            @strawberry.field
            @cache.cache_function(expire=60)
            async def double(self) -> int:
                return 2 * self.number

        @strawberry.type
        class Query:
            @strawberry.field
            @cache.cache_function(expire=60, ignore=("info",), cache_level=CacheLevel.HIGH)
            async def own(self, info: strawberry.Info, number: int) -> str:
                loads.append(("own", number))
                return f"{number} for {info.context['user_id']}"

            @strawberry.field
            @cache.cache_function(expire=60, key=lambda self, info, number: (info.context["user_id"], number))
            async def mine(self, info: strawberry.Info, number: int) -> str:
                loads.append(("mine", number))
                return f"{number} for {info.context['user_id']}"

            @strawberry.field(permission_classes=[Allowed])
            @cache.cache_function(expire=60, ignore=("info",))
            async def price(self, info: strawberry.Info, number: int) -> str:
                loads.append(("price", number))
                return f"price {number}"

            @strawberry.field
            def items(self, count: int) -> list[Item]:
                return [Item(number=number) for number in range(count)]

            @strawberry.field
            async def slow(self) -> str:
                return await slow(1)

        @strawberry.type
        class Subscription:
            @strawberry.subscription
            async def count(self, numbers: int) -> AsyncGenerator[str, None]:
                for number in range(numbers):
                    yield await names(number)

            @strawberry.subscription
            async def batched(self) -> AsyncGenerator[str, None]:
                yield "first"
                yield await slow(1)

            @strawberry.subscription
            async def cached(self) -> AsyncGenerator[str, None]:
                yield "first"
                yield await kept()

        self.schema = strawberry.Schema(
            Query,
            subscription=Subscription,
            extensions=[Waiting, OperationScope(lambda running: {"principal": running.context["user_id"]})],
        )

    @contextlib.contextmanager
    def ending(self, name):
        """Note that a load was cancelled."""
        try:
            yield
        except asyncio.CancelledError:
            self.ended.append(name)
            raise

    async def ask(self, query, user="ann"):
        found = await self.schema.execute(query, context_value={"user_id": user})
        assert found.errors is None
        return found.data


@pytest.fixture
def world():
    """A schema of the test's own."""
    return World()


def refusal(function, parameter="info"):
    """Return the whole text of the error for a function of this module."""
    return re.escape(f"{__name__}.{function}(): argument {parameter!r} {WAYS.replace('info', parameter)}").replace(
        re.escape(f"types.{parameter}."), re.escape("types.info.")
    )


@pytest.mark.parametrize("annotation", [strawberry.Info, strawberry.Info[dict, None]], ids=["bare", "generic"])
def test_info_in_a_key_is_refused_where_it_is_written(annotation):
    """Who is asking is in it: it is neither left out of keys nor taken into them by itself."""

    async def title(info: annotation, number: int): ...

    title.__annotations__["info"] = annotation
    text = refusal(f"{test_info_in_a_key_is_refused_where_it_is_written.__name__}.<locals>.title")
    with pytest.raises(UnkeyableArgumentError, match=f"^{text}$"):
        Cache().cache_function(title)


async def test_info_that_is_not_annotated_is_refused_at_the_first_call():
    """Where only a text, or nothing, says what a parameter is, the value says it; a subclass is one too."""

    class Own(Info):
        pass

    @Cache().cache_function
    async def title(who: "Own", number): ...

    for value in (object.__new__(Info), object.__new__(Own), [object.__new__(Info)]):
        with pytest.raises(
            UnkeyableArgumentError, match=r"argument 'who' of type .* tells who is asking, .*ignore=\('who',\)"
        ):
            await title(value, 1)


async def test_info_of_a_schema_without_annotation_fails_in_words():
    """A resolver's mistake is in the answer's errors, and nobody gets another one's result."""

    async def title(root, info: "Info", number: int) -> str:
        raise NotImplementedError

    @strawberry.type
    class Query:
        name: str = strawberry.field(resolver=Cache().cache_function(expire=60)(title))

    found = await strawberry.Schema(Query).execute("{ name(number: 1) }")
    assert found.data is None
    assert "argument 'info' of type strawberry.types.info.Info tells who is asking" in found.errors[0].message


def test_info_with_a_registered_value_is_keyed_by_it(monkeypatch):
    """Whoever says once what identifies a caller need not say it for each function."""
    from asyncfan.caching.calls import keys

    monkeypatch.setattr(keys, "_BY_TYPE", dict(keys._BY_TYPE))
    monkeypatch.setattr(keys, "_WHOLE", set())
    register_key(Info, lambda info: info.user_id)

    @Cache().cache_function(key_prefix="title")
    async def title(info: Info): ...

    info = object.__new__(Info)
    info.user_id = 7
    assert title.cache_key(info).startswith("title:(7)~")


async def test_requests_share_what_is_the_same_for_everybody(world):
    """With ignore= neither the root nor the info of a request is in the key, and async permissions stay possible."""
    assert await world.ask("{ price(number: 1) }") == await world.ask("{ price(number: 1) }", "bob")
    assert world.loads == [("price", 1)]


async def test_equal_fields_of_one_query_make_one_load(world):
    """Aliases with equal arguments join, others do not."""
    found = await world.ask("{ a: price(number: 1) b: price(number: 1) c: price(number: 2) }")
    assert found == {"a": "price 1", "b": "price 1", "c": "price 2"}
    assert world.loads == [("price", 1), ("price", 2)]


@pytest.mark.parametrize("field", ["own", "mine"])
async def test_users_are_told_apart(world, field):
    """By the principal of the operation's scope at the HIGH level, or by key=, each user has entries of their own."""
    for user in ("ann", "bob", "ann"):
        assert await world.ask(f"{{ {field}(number: 1) }}", user) == {field: f"1 for {user}"}
    assert len(world.loads) == 2


async def test_operations_at_once_do_not_see_each_others_scope(world):
    """Each operation's extension is its own: what runs in between changes nothing."""
    users = [f"user {number}" for number in range(20)]
    found = await asyncio.gather(*(world.ask("{ items(count: 2) { name } own(number: 1) }", user) for user in users))
    assert [each["own"] for each in found] == [f"1 for {user}" for user in users]


async def test_loaders_ask_once_an_operation(world):
    """A key that is wanted at several depths is asked for once; the next operation's loads are its own."""
    for _ in range(2):
        await world.ask("{ a: items(count: 3) { name } b: items(count: 2) { name } }")
    assert world.loads == [("names", [0, 1, 2])] * 2


async def test_loads_are_cancelled_with_their_operation(world):
    """What only a cancelled operation waited for ends with it: the test fails if a task is left."""
    task = asyncio.ensure_future(world.ask("{ slow }"))
    await world.gate.reached()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_nested_resolver_is_not_shared_by_other_objects(world):
    """The object that a nested field belongs to decides what it returns: entries are each object's own."""
    assert await world.ask("{ items(count: 2) { double } }") == {"items": [{"double": 0}, {"double": 2}]}


async def test_subscription_has_a_scope_of_its_own(world):
    """From its first item to its last."""
    found = await world.schema.subscribe("subscription { count(numbers: 2) }", context_value={"user_id": "ann"})
    assert [item.data async for item in found] == [{"count": "item 0"}, {"count": "item 1"}]


LEFT = [("batched", "slow"), ("cached", "kept")]


@pytest.mark.parametrize(("field", "load"), LEFT)
async def test_subscription_that_is_cancelled_lets_its_load_go(world, field, load):
    """What it waits for ends with it, also where each item is asked for in a task of its own."""
    found = await world.schema.subscribe(f"subscription {{ {field} }}", context_value={"user_id": "ann"})

    async def item():
        return (await anext(found)).data

    assert await asyncio.create_task(item()) == {field: "first"}
    second = asyncio.create_task(item())
    await world.gate.reached()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert world.ended == [load]


async def test_subscription_that_another_task_closes_ends(world):
    """Between two items, by whoever closes it: its scope ends with it."""
    found = await world.schema.subscribe("subscription { batched }", context_value={"user_id": "ann"})

    async def item():
        return (await anext(found)).data

    assert await asyncio.create_task(item()) == {"batched": "first"}
    await asyncio.create_task(found.aclose())
    with pytest.raises(StopAsyncIteration):
        await anext(found)


class Socket:
    """A client of an ASGI application over a WebSocket."""

    def __init__(self, application):
        self._said, self._heard = asyncio.Queue(), asyncio.Queue()
        about = {"type": "websocket", "path": "/", "headers": [], "subprotocols": ["graphql-transport-ws"]}
        self.running = asyncio.ensure_future(application(about, self._said.get, self._heard.put))

    def tell(self, kind, **more):
        self._said.put_nowait({"type": f"websocket.{kind}", **more})

    def say(self, kind, **more):
        self.tell("receive", text=json.dumps({"type": kind, **more}))

    async def hear(self):
        return json.loads((await self._heard.get())["text"])


@pytest.mark.parametrize("leaves", [True, False], ids=["leaves", "completes"])
@pytest.mark.parametrize(("field", "load"), LEFT)
async def test_client_of_a_websocket_that_goes_lets_its_load_go(world, field, load, leaves):
    """A client that disconnects, or completes its subscription, ends what that waits for."""

    class Application(GraphQL):
        async def get_context(self, request, response):
            return {"user_id": "ann"}

    client = Socket(Application(world.schema))
    client.tell("connect")
    await client._heard.get()
    client.say("connection_init")
    assert (await client.hear())["type"] == "connection_ack"
    client.say("subscribe", id="1", payload={"query": f"subscription {{ {field} }}"})
    assert (await client.hear())["payload"] == {"data": {field: "first"}}
    await world.gate.reached()
    if not leaves:
        client.say("complete", id="1")
        for _ in range(20):
            await asyncio.sleep(0)
        assert world.ended == [load]
    client.tell("disconnect", code=1001)
    await client.running
    assert world.ended == [load]


async def test_over_asgi(world):
    """Behind a web framework the users of requests at the same time are told apart, by what its context says."""

    class Application(GraphQL):
        async def get_context(self, request, response):
            return {"user_id": request.headers["x-user"]}

    async def ask(client, user):
        query = {"query": "{ own(number: 1) price(number: 1) items(count: 2) { name } }"}
        return (await client.post("/", json=query, headers={"X-User": user})).json()["data"]

    transport = httpx.ASGITransport(Application(world.schema))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        found = await asyncio.gather(*(ask(client, user) for user in ("ann", "bob", "ann")))
    assert [each["own"] for each in found] == ["1 for ann", "1 for bob", "1 for ann"]
    assert [load for load in world.loads if load[0] != "names"] == [("own", 1), ("price", 1), ("own", 1)]


async def test_the_schema_is_that_of_the_resolvers_signatures(world):
    """Arguments and their types are those of the function as it was."""
    assert "price(number: Int!): String!" in world.schema.as_str()
    assert "own(number: Int!): String!" in world.schema.as_str()


def test_a_cached_method_in_its_class_body_is_seen_as_asynchronous():
    """Frameworks that ask what kind of function they got are told."""

    class Resolvers:
        @Cache().cache_function
        async def price(self):
            return 1

    found = vars(Resolvers)["price"]
    ask = inspect.iscoroutinefunction if hasattr(inspect, "markcoroutinefunction") else asyncio.iscoroutinefunction
    assert ask(found)
