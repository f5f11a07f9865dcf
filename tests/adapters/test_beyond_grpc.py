"""Cached methods of a gRPC servicer: messages are keyed by what they say, who may share what is said by the author."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.wrappers_pb2 import Int32Value, Int64Value, StringValue

import asyncfan
from asyncfan import Cache, UnkeyableArgumentError
from asyncfan.caching.calls.keys import key_text

FILE = descriptor_pb2.FileDescriptorProto(name="shop.proto", package="shop", syntax="proto3")
ORDER = FILE.message_type.add(name="Order")
ORDER.field.add(name="number", number=1, type=3, label=1)
ORDER.field.add(name="counts", number=2, type=11, label=3, type_name=".shop.Order.CountsEntry")
ENTRY = ORDER.nested_type.add(name="CountsEntry")
ENTRY.options.map_entry = True
ENTRY.field.add(name="key", number=1, type=9, label=1)
ENTRY.field.add(name="value", number=2, type=5, label=1)
POOL = descriptor_pool.DescriptorPool()
POOL.Add(FILE)
Order = message_factory.GetMessageClass(POOL.FindMessageTypeByName("shop.Order"))

WAYS = (
    "tells who is asking, so only you can say who may share a result. Do one of: ignore=('context',) if it is the same "
    "for everybody; key=lambda ...: (..., dict(context.invocation_metadata())['user-id']) to build the key from the "
    "arguments and from what tells callers apart; ignore=('context',), cache_level=CacheLevel.HIGH where "
    "asyncfan.adapters.grpc.RpcScope declares the principal"
)


@pytest.fixture(scope="module")
def shop():
    """Return what came of each call of a server and a client in a process of their own."""
    paths = [str(Path(asyncfan.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "grpc_shop.py"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.real_time
def test_equal_messages_make_one_load(shop):
    """Calls at once and calls later share what the servicer returned."""
    answers, loads = shop["equal_messages"]
    assert answers == ["item 0", "item 1"] * 4
    assert loads == [0, 1]


@pytest.mark.real_time
def test_stream_is_replayed(shop):
    """A method that yields its messages runs once."""
    assert shop["stream_replayed"] == [[["0", "1", "2"]] * 2, ["list"]]


@pytest.mark.real_time
def test_users_are_told_apart(shop):
    """By the principal of the RPC's scope at the HIGH level, or by key=, each user has entries of their own."""
    answers, loads = shop["users"]
    assert answers == [["ann", "bob", "ann"]] * 2
    assert loads == ["mine", "mine", "own", "own"]


@pytest.mark.real_time
def test_context_in_a_key_is_refused_at_the_first_call(shop):
    """What gRPC passes is of a class that nobody writes: the client gets no other one's answer, the author the words."""
    code, details = shop["context_in_key"]
    assert code == "UNKNOWN"
    assert details.endswith(f"Forgotten(): argument 'context' of type grpc._cython.cygrpc._ServicerContext {WAYS}")


@pytest.mark.parametrize("kind", [grpc.ServicerContext, grpc.aio.ServicerContext], ids=["grpc", "grpc.aio"])
def test_annotated_context_in_a_key_is_refused_where_it_is_written(kind):
    """Who is asking is in it: it is neither left out of keys nor taken into them by itself."""

    async def title(request, context): ...

    title.__annotations__["context"] = kind
    name = f"{test_annotated_context_in_a_key_is_refused_where_it_is_written.__name__}.<locals>.title"
    text = f"{__name__}.{name}(): argument 'context' of type {kind.__module__}.{kind.__qualname__} {WAYS}"
    with pytest.raises(UnkeyableArgumentError, match=f"^{re.escape(text)}$"):
        Cache().cache_function(title)
    Cache().cache_function(ignore=("context",))(title)


@pytest.mark.real_time
def test_loaders_ask_once_an_rpc(shop):
    """Inside one RPC each key is loaded once; the next one's loads are its own."""
    assert shop["loaders"] == [["item 1, item 1"] * 2, [[1], [1]]]


@pytest.mark.real_time
@pytest.mark.parametrize("what", ["cancelled", "cancelled_stream", "cancelled_while_it_writes"])
def test_client_that_cancels_ends_its_method(shop, what):
    """With what the method waits for, or yields; the process fails if a task or an unseen error is left."""
    assert shop[what]


@pytest.mark.real_time
def test_every_kind_of_method_has_a_scope(shop):
    """One that writes its messages, a plain one in a thread, and a plain one that yields."""
    assert shop["scopes"] == ["ann", ["ann"], ["ann", "ann"]]


@pytest.mark.real_time
def test_unknown_method_stays_unknown(shop):
    """What no servicer has is not wrapped."""
    assert shop["unknown_method"] == "UNIMPLEMENTED"


def test_messages_are_keyed_by_their_bytes_and_type():
    """Equal messages have one text, whatever order their maps were filled in; others have others."""
    there, back = Order(number=1), Order(number=1)
    for name in "abcdefgh":
        there.counts[name] = 1
    for name in "hgfedcba":
        back.counts[name] = 1
    assert key_text(there) == key_text(back) != key_text(Order(number=1))
    assert (
        key_text(Int64Value(value=1)) == "0801~google.protobuf.wrappers_pb2.Int64Value" != key_text(Int32Value(value=1))
    )
    assert len(key_text(StringValue(value="x" * 10_000))) < 120


async def test_a_copied_message_may_be_changed():
    """With copy="deep" a caller that changes what it got changes nothing for the next one."""

    @Cache().cache_function(expire=60, copy="deep")
    async def order(number):
        return Order(number=number)

    for _ in range(2):
        found = await order(1)
        assert found.number == 1
        found.number = 7


async def test_a_request_may_be_changed_after_the_call():
    """The key is made of what the message said when it came."""

    @Cache().cache_function(expire=60)
    async def number(request):
        return request.number

    request = Order(number=1)
    assert await number(request) == 1
    request.number = 2
    assert await number(request) == 2
    assert await number(Order(number=1)) == 1
