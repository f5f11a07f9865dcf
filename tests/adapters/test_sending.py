"""What a handler sends by itself frees those who wait for it, and its sender stays as it was."""

import asyncio

import pytest

from asyncfan.adapters.sending import unshared_from
from asyncfan.caching.cache import Cache
from asyncfan.caching.loads.leader_loads import Loaded
from asyncfan.testing import Gate


class Plain:
    """Its method is its class's."""

    def send(self, part):
        return part


class Own(Plain):
    """Its method is its own."""

    def __init__(self):
        self.send = super().send


class Slotted:
    """It holds its method in a slot, and another one after the first part."""

    __slots__ = ("send",)

    def __init__(self):
        self.send = self.first

    def first(self, part):
        self.send = self.second
        return part

    def second(self, part):
        return part


@pytest.mark.parametrize("kind", [Plain, Own, Slotted])
async def test_who_waits_is_freed_by_the_first_part(kind):
    """A part is sent as ever; until then a second reader waits, from then on it has a sender of its own."""
    operation, gate = Cache().operation("page", "page"), Gate()
    parts = []

    async def handler():
        sender = kind()
        with unshared_from(sender, "send"):
            parts.append(sender.send("one"))
            await gate.enter()
            parts.append(sender.send("two"))
        return Loaded(None, None)

    readers = [asyncio.ensure_future(operation.lead("key", handler)) for _ in range(2)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert gate.entered == 2
    gate.open()
    await asyncio.gather(*readers)
    assert parts == ["one", "one", "two", "two"]


@pytest.mark.parametrize("kind", [Plain, Own, Slotted])
@pytest.mark.parametrize("sends", [False, True])
async def test_sender_is_left_as_it_was(kind, sends):
    """Whether a part was sent or not, and inside of another handler too."""
    sender, other = kind(), kind()
    with unshared_from(sender, "send"), unshared_from(sender, "send"):
        assert not sends or sender.send("one") == "one"
    assert not sends or other.send("one") == "one"
    assert getattr(sender.send, "__func__", None) is other.send.__func__
    assert getattr(sender, "__dict__", {}).keys() == getattr(other, "__dict__", {}).keys()
