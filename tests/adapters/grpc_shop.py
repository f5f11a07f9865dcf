"""A gRPC server and its client: a program of its own, since processes in which gRPC has started should not fork.

It prints ``{scenario: what came of it}``.
"""
# ruff: noqa: D103, N802, T201 - scenarios have names, gRPC's methods are written like classes, it prints

import asyncio
import contextlib
import json
from concurrent.futures import ThreadPoolExecutor

import grpc
import grpc.aio
from google.protobuf.wrappers_pb2 import Int64Value, StringValue

from asyncfan import Cache, CacheLevel, batched, current_scope
from asyncfan.adapters.grpc import RpcScope


class Shop:
    """A servicer as its generated base class would have it."""

    cache = Cache()

    def __init__(self):
        self.loads = []
        self.waiting, self.ended = asyncio.Event(), asyncio.Event()

    @batched
    async def name(self, numbers):
        self.loads.append(sorted(numbers))
        return {number: f"item {number}" for number in numbers}

    @cache.cache_function(expire=60, ignore=("context",))
    async def Get(self, request, context):
        self.loads.append(request.value)
        return StringValue(value=await self.name(request.value))

    @cache.cache_function(expire=60, ignore=("context",))
    async def List(self, request, context):
        self.loads.append("list")
        for number in range(request.value):
            yield StringValue(value=str(number))

    @cache.cache_function(expire=60, ignore=("context",), cache_level=CacheLevel.HIGH)
    async def Mine(self, request, context):
        self.loads.append("mine")
        return StringValue(value=user_of(context))

    @cache.cache_function(expire=60, key=lambda self, request, context: (request.value, user_of(context)))
    async def Own(self, request, context):
        self.loads.append("own")
        return StringValue(value=user_of(context))

    @cache.cache_function
    async def Forgotten(self, request, context):
        raise NotImplementedError

    async def Twice(self, request, context):
        return StringValue(value=f"{await self.name(request.value)}, {await self.name(request.value)}")

    @cache.cache_function
    async def wait(self):
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()

    async def Wait(self, request, context):
        await self.wait()

    async def Endless(self, request, context):
        yield StringValue(value="first")
        await self.wait()

    async def Flood(self, request, context):
        try:
            while True:
                yield StringValue(value="x" * 100_000)
        finally:
            self.ended.set()

    async def Write(self, request, context):
        await context.write(StringValue(value=current_scope()["principal"]))

    def Plain(self, request, context):
        return StringValue(value=current_scope()["principal"])

    def PlainList(self, request, context):
        for _ in range(2):
            yield StringValue(value=current_scope()["principal"])


STREAMS = {"List", "Endless", "Flood", "Write", "PlainList"}


def user_of(context):
    """Return who is asking."""
    return dict(context.invocation_metadata()).get("user-id", "nobody")


@contextlib.asynccontextmanager
async def served(shop):
    """Start a server, and give what calls it: ``call(method, number, user)``."""
    with ThreadPoolExecutor(1) as threads:
        server = grpc.aio.server(threads, interceptors=[RpcScope(lambda context: {"principal": user_of(context)})])
        both = {"request_deserializer": Int64Value.FromString, "response_serializer": StringValue.SerializeToString}
        kinds = {True: grpc.unary_stream_rpc_method_handler, False: grpc.unary_unary_rpc_method_handler}
        names = [name for name in dir(shop) if name.istitle() or name == "PlainList"]
        handlers = {name: kinds[name in STREAMS](getattr(shop, name), **both) for name in names}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Shop", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        both = {"request_serializer": Int64Value.SerializeToString, "response_deserializer": StringValue.FromString}
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:

            def call(name, number=1, user="ann"):
                make = channel.unary_stream if name in STREAMS else channel.unary_unary
                return make(f"/Shop/{name}", **both)(Int64Value(value=number), metadata=(("user-id", user),))

            yield call
        await server.stop(None)
        await shop.cache.aclose()


async def equal_messages(shop, call):
    found = [
        message.value for _ in range(2) for message in await asyncio.gather(*(call("Get", n % 2) for n in range(4)))
    ]
    return found, sorted(load for load in shop.loads if isinstance(load, int))


async def stream_replayed(shop, call):
    return [[message.value async for message in call("List", 3)] for _ in range(2)], shop.loads


async def users(shop, call):
    names = ("ann", "bob", "ann")
    return [[(await call(name, 1, user)).value for user in names] for name in ("Mine", "Own")], shop.loads


async def context_in_key(shop, call):
    try:
        await call("Forgotten")
    except grpc.aio.AioRpcError as error:
        return error.code().name, error.details()


async def loaders(shop, call):
    return [(await call("Twice")).value for _ in range(2)], shop.loads


async def cancelled(shop, call):
    running = call("Wait")
    asked = asyncio.ensure_future(running.wait_for_connection())
    await shop.waiting.wait()
    running.cancel()
    asked.cancel()
    await shop.ended.wait()
    return True


async def cancelled_stream(shop, call):
    running = call("Endless")
    first = (await running.read()).value
    await shop.waiting.wait()
    running.cancel()
    await shop.ended.wait()
    return first


async def cancelled_while_it_writes(shop, call):
    running = call("Flood")
    await running.read()
    running.cancel()
    await shop.ended.wait()
    return True


async def scopes(shop, call):
    lists = [[message.value async for message in call(name)] for name in ("Write", "PlainList")]
    return [(await call("Plain")).value, *lists]


async def unknown_method(shop, call):
    try:
        await call("Nothing")
    except grpc.aio.AioRpcError as error:
        return error.code().name


async def run(scenario):
    """Return what came of a scenario; fail if it leaves a task or an error behind."""
    unseen, loop = [], asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unseen.append(context["message"]))
    shop = Shop()
    async with asyncio.timeout(20), served(shop) as call:
        found = await scenario(shop, call)
    for _ in range(3):
        await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() if "asyncfan" in repr(task)]
    assert not unseen, unseen
    assert not left, left
    return found


async def main():
    every = (
        equal_messages, stream_replayed, users, context_in_key, loaders, cancelled, cancelled_stream,
        cancelled_while_it_writes, scopes, unknown_method,
    )  # fmt: skip
    print(json.dumps({scenario.__name__: await run(scenario) for scenario in every}))


if __name__ == "__main__":
    asyncio.run(main())
