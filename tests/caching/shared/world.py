"""Nodes that share a server: what befalls them in one seed, and an oracle that knows what each may see.

``python -m tests.caching.shared.world A B`` runs the seeds from A up to B.
"""

import asyncio
import contextlib
import logging
import random
import sys

from asyncfan.caching import MISSING, Cache, current_load
from asyncfan.caching.calls.keys import untyped
from asyncfan.caching.clears.patterns import Pattern
from asyncfan.caching.shared.leases import Lease
from asyncfan.caching.shared.portal import Portal
from asyncfan.caching.shared.protocol import Held
from asyncfan.caching.shared.server.guard import Guard
from asyncfan.caching.shared.tier import SharedTier
from asyncfan.testing import FailingStore, MemoryStore, VirtualTimeLoop

TAGS = {"f:1": ("red",), "f:2": ("red", "blue"), "f:21~s": (), "g:1:a": ("blue",), "g:1:b": ()}
KEYS = list(TAGS)
PATTERNS = [
    Pattern("f:", tail=True),
    Pattern("f:2", tail=True),
    Pattern("g:1", subtree=True),
    Pattern("", rest=("1", "")),
]
KEPT = 1_000.0
SOON = 2.0  # seconds that memory keeps a value where messages are lost
LEASE = 0.6


class LoadFailedError(Exception):
    """The origin has failed."""


class Get:
    """One call that looks for a value, from its begin to its end."""

    def __init__(self, text):
        self.text = text
        self.fenced = False  # what it finds must not be kept in memory


class Node:
    """A process: a tier, and as little of a memory tier as there can be."""

    def __init__(self, world, number, server):
        rng = random.Random(world.rng.random())
        self.world = world
        self.number = number
        self.store = FailingStore(server.connect(), random=rng)
        self.guard = Guard(clock=world.loop.time)
        self.tier = SharedTier(self.store, guard=self.guard, lease=LEASE, random=rng, portal=Portal("home", world.loop))
        self.tier.attach(self)
        if not world.reclaims:  # as if it were slow: what was cleared stays where readers find it
            self.tier._reclaimer.want = lambda _, notices: [notice.end() for notice in notices]
        self.memory = {}  # {text: (version, end)}
        self.gets = set()  # those under way

    # -- what the tier tells it

    def drop_texts(self, texts):
        self.forget(texts.__contains__)

    def drop_patterns(self, patterns):
        self.forget(lambda text: any(pattern.matches(untyped(text)) for pattern in patterns))

    def drop_tags(self, tags):
        self.forget(lambda text: not set(tags).isdisjoint(TAGS[text]))

    def drop_all(self):
        self.forget(lambda _: True)

    def forget(self, means):
        for text in [text for text in self.memory if means(text)]:
            del self.memory[text]
        for get in self.gets:
            get.fenced = get.fenced or means(get.text)

    # -- what its callers do

    async def get(self, texts):
        """Look for values; tell the oracle of each and where it came from."""
        world = self.world
        floors = {text: world.floors_of(self, text) for text in texts}
        missing = []
        for text in texts:
            kept = self.memory.get(text)
            if kept is not None and kept[1] > world.loop.time():
                world.see(self, text, kept[0], floors[text], "memory")
            else:
                missing.append(Get(text))
        self.gets.update(missing)
        try:
            await self.find([get for get in missing if get.text in texts], floors)
        finally:
            self.gets.difference_update(missing)

    async def find(self, gets, floors):
        tags = sorted({tag for get in gets for tag in TAGS[get.text]}) if self.world.knows_tags else ()
        found = await self.tier.read([get.text for get in gets], tags) or [None] * len(gets)
        missing = []
        for get, one in zip(gets, found, strict=True):
            if one is None:
                missing.append(get)
            else:
                self.settle(get, one.value, floors, "server")
        if len(missing) > 1:
            claims = await self.tier.claim_many([get.text for get in missing], [None] * len(missing))
        else:
            claims = [Held(0.0)] * len(missing)
        waiting = []
        async with contextlib.AsyncExitStack() as leases:
            for get, claim in zip(missing, claims, strict=True):
                if isinstance(claim, Held):
                    waiting.append(get)
                elif claim is not None:
                    leases.push_async_callback(self.tier.release, claim)
            for get, claim in zip(missing, claims, strict=True):
                if not isinstance(claim, Held):
                    await self.load(get, claim, floors)
        for get in waiting:
            await self.load_alone(get, floors)

    async def load_alone(self, get, floors):
        claim = await self.tier.claim(get.text, force=self.world.rng.random() < 0.03)
        if claim is None:
            await self.load(get, claim, floors)
        elif not isinstance(claim, Lease):
            self.settle(get, claim.value, floors, "server")
        else:
            try:
                await self.load(get, claim, floors)
            finally:
                await self.tier.release(claim)

    async def load(self, get, lease, floors):
        version = await self.world.load(get.text)
        kept = "without"
        if lease is not None:
            kept = await self.tier.write(lease, version, fresh=KEPT, kept=KEPT, tags=TAGS[get.text])
        if kept == "fenced":
            get.fenced = True
        self.settle(get, version, floors, "load")

    def settle(self, get, version, floors, source):
        self.world.see(self, get.text, version, floors[get.text], source)
        if not get.fenced:
            self.memory[get.text] = (version, self.world.loop.time() + self.world.expire)

    def invalidate(self, kind, what):
        """Clear memory at once, and the server as soon as may be."""
        if kind == "drop":
            self.drop_texts([what])
            return self.tier.drop([what])
        if kind == "pattern":
            self.drop_patterns([what])
            return self.tier.clear(patterns=[what])
        if kind == "tag":
            self.drop_tags([what])
            return self.tier.clear(tags=[what])
        if kind == "put":
            self.drop_texts([what])
            return self.tier.put(what, self.world.truth[what], fresh=KEPT, kept=KEPT, tags=TAGS[what])
        self.drop_all()
        return self.tier.clear(everything=True)

    def may_put(self, text):
        """Say whether a value that is put for the key gets its tags."""
        return True

    async def kept(self, text):
        """Return the version that memory would serve now, None for none."""
        version, end = self.memory.get(text, (None, 0))
        return version if end > self.world.loop.time() else None

    async def aclose(self):
        await self.tier.aclose()


class CacheNode(Node):
    """A process with a real `Cache` in front of the tier."""

    def __init__(self, world, number, server):
        super().__init__(world, number, server)
        self.notices = []
        self.tier.put = self.note(self.tier.put)
        self.cache = Cache(
            store=self.tier, clock=world.loop.time, random=random.Random(world.seed).random, memory_expire=world.expire
        )

        @self.cache.cache_function(expire=KEPT, key_prefix="f")
        async def f(which):
            return await self.origin(f"f:{which}" + "~s" * isinstance(which, str))

        @self.cache.cache_function(expire=KEPT, key_prefix="g")
        async def g(number, letter):
            return await self.origin(f"g:{number}:{letter}")

        self.calls = {"f:1": (f, 1), "f:2": (f, 2), "f:21~s": (f, "21"), "g:1:a": (g, 1, "a"), "g:1:b": (g, 1, "b")}

    def note(self, function):
        def noting(*args, **kwargs):
            self.notices.append(function(*args, **kwargs))
            return self.notices[-1]

        return noting

    async def origin(self, text):
        current_load().tag(*TAGS[text])
        return await self.world.load(text)

    async def get(self, texts):
        """Call the cached functions; what is neither in memory nor loading must be as good as the server's."""
        await asyncio.gather(*map(self.call, texts))

    async def call(self, text):
        function, *args = self.calls[text]
        assert function.cache_key(*args) == text
        floors = self.world.floors_of(self, text)
        loading = {op.text(key) for op in self.cache.operations for key in op.flights}
        cold = function.peek(*args) is MISSING and text not in loading
        version = await function(*args)
        self.world.see(self, text, version, floors, "server" if cold else "memory")

    def may_put(self, text):
        return not TAGS[text]  # it is the loads that name the tags

    async def kept(self, text):
        function, *args = self.calls[text]
        while True:
            with contextlib.suppress(LoadFailedError):
                return await function(*args)

    def invalidate(self, kind, what):
        """Use the cache's own clears; returns what the tier was told."""
        if kind == "put":
            function, *args = self.calls[what]
            function.put(self.world.truth[what], *args)
            return self.notices[-1]
        if kind == "drop":
            function, *args = self.calls[what]
            cleared = function.invalidate(*args)
        elif kind == "pattern":
            cleared = self.cache.clear_patterns(what)
        elif kind == "tag":
            cleared = self.cache.clear_tags(what)
        else:
            cleared = self.cache.clear_all()
        return cleared._told[0]

    async def aclose(self):
        await self.cache.aclose()


MEANT = {
    "drop": lambda text, what: text == what,
    "put": lambda text, what: text == what,
    "pattern": lambda text, what: what.matches(untyped(text)),
    "tag": lambda text, what: what in TAGS[text],
    "all": lambda *_: True,
}


class World:
    """One seed."""

    def __init__(self, seed, loop, kind):
        self.loop = loop
        self.rng = rng = random.Random(seed)
        self.seed = seed
        self.truth = dict.fromkeys(KEYS, 0)
        self.told = []  # [(node, {text: version}, notice)] of each invalidation
        self.puts = {}  # {text: its last put, as (node, notice)}
        self.violations = []
        self.lossy = rng.random() < 0.25
        self.expire = SOON if self.lossy else KEPT
        self.reclaims = rng.random() < 0.3
        self.keys = rng.choice([KEYS, KEYS[1:4]])
        self.knows_tags = rng.random() < 0.7
        self.slow = rng.random() < 0.5  # some requests outrun the deadline
        self.failing = rng.choice([0, 0, 0.02, 0.1])
        self.server = MemoryStore(max_clears=rng.choice([2, 1_000]))
        self.nodes = [kind(self, number, self.server) for number in range(rng.choice([2, 2, 3]))]
        self.tasks = []
        self.clients = []  # those of the tasks that may be cancelled
        self.served = dict.fromkeys(("memory", "server", "load"), 0)
        for node in self.nodes:
            node.store.failing, node.store.lost_replies = self.failing, self.failing / 2
            node.store.delay = (0, 0.06) if self.slow else (0, 0.004)
            node.store.message_delay = rng.choice([(0, 0), (0, 0.01), (0, 0.3)])
            node.store.repeated_messages = rng.choice([0, 0.2])
            node.store.lost_messages = 0.2 if self.lossy else 0

    # -- the origin

    async def load(self, text):
        before, after = (self.rng.choice([0, 0.01, 0.05, 0.3]) for _ in range(2))
        await asyncio.sleep(before)
        version = self.truth[text]
        await asyncio.sleep(after)
        if self.rng.random() < 0.05:
            raise LoadFailedError
        return version

    # -- the oracle

    def floors_of(self, node, text):
        """The oldest versions that the server, and memory, may give to a call of the node that begins now."""
        own = max((meant.get(text, 0) for by, meant, _ in self.told if by is node), default=0)
        sure = max((meant.get(text, 0) for _, meant, notice in self.told if notice.confirmed), default=0)
        return max(own, sure), own

    def see(self, node, text, version, floors, source):
        """Look at what a call is given."""
        self.served[source] += 1
        floor = floors[source == "memory"]
        if version < floor:
            self.blame(f"node {node.number} got {text} {version} < {floor} from {source}")

    def blame(self, what):
        self.violations.append(f"{self.loop.time():.3f} {what}")

    # -- what happens

    async def change(self, node):
        """Change what is true, then invalidate it, after a while or at once."""
        kind = self.rng.choice(["drop"] * 4 + ["pattern"] * 3 + ["tag"] * 2 + ["put", "all"])
        what = {
            "drop": self.keys,
            "put": [text for text in self.keys if node.may_put(text)],
            "pattern": PATTERNS,
            "tag": ["red", "blue"],
            "all": [None],
        }[kind]
        what = self.rng.choice(what)
        meant = [text for text in KEYS if MEANT[kind](text, what)]
        await self.take_turns(node, meant)
        for text in meant:
            self.truth[text] += 1
        versions = {text: self.truth[text] for text in meant}
        if kind != "put":
            await asyncio.sleep(self.rng.choice([0, 0, 0.02]))
        notice = node.invalidate(kind, what)
        self.told.append((node, versions, notice))
        if kind == "put":
            self.puts[what] = (node, notice)
        if self.rng.random() < 0.7:
            await notice.sent()
            for _ in range(self.rng.choice([1, 2])):
                await self.client(self.rng.choice(self.nodes), [self.rng.choice(meant or KEYS)])

    async def take_turns(self, node, texts):
        """Wait for other nodes' puts: who changes a value beside one who puts it gets either, in any cache."""
        puts = [self.puts[text] for text in texts if text in self.puts]
        while waiting := [put for by, put in puts if by is not node and not put._told.done()]:
            await waiting[0].sent()
            puts = [self.puts[text] for text in texts if text in self.puts]

    async def client(self, node, texts):
        with contextlib.suppress(LoadFailedError):
            await node.get(texts)

    async def trouble(self):
        """Something that befalls the server or the way to it."""
        node = self.rng.choice(self.nodes)
        what = self.rng.choice(["stop", "freeze", "disconnect", "evict", "forget", "restart"])
        if what == "stop":
            node.store.stop()
        elif what == "freeze":
            node.store.freeze()
        elif what == "disconnect":
            self.server.disconnect()
        elif what == "evict":
            self.server.evict(self.rng.choice(KEYS))
        elif what == "forget":
            self.server.evict()
        else:
            self.server.restart()
        await asyncio.sleep(self.rng.choice([0.05, 0.3, 1.0]))
        node.store.start()
        node.store.thaw()

    def start(self, work):
        task = self.loop.create_task(work)
        self.tasks.append(task)
        return task

    async def run(self):
        """Let it all happen, then look at what is left."""
        rng = self.rng
        for _ in range(rng.choice([10, 25, 40])):
            node = rng.choice(self.nodes)
            dice = rng.random()
            if dice < 0.55:
                self.clients.append(self.start(self.client(node, rng.sample(self.keys, rng.choice([1, 1, 1, 3])))))
            elif dice < 0.85:
                self.start(self.change(node))
            elif dice < 0.92:
                running = [task for task in self.clients if not task.done()]
                if running:
                    rng.choice(running).cancel()
            elif dice < 0.98:
                self.start(self.trouble())
            await asyncio.sleep(rng.choice([0, 0, 0.001, 0.01, 0.1]))
        await asyncio.wait(self.tasks)
        for task in self.tasks:
            if not task.cancelled() and task.exception():
                raise task.exception()
        await self.come_to_rest()

    async def come_to_rest(self):
        """All is delivered that ever will be; then nobody is served what is not true."""
        for node in self.nodes:
            node.store.failing = node.store.lost_replies = node.store.lost_messages = 0
            node.store.delay = (0, 0.004)  # as long as some requests outrun the deadline, so may all of them
            node.store.start()
            node.store.thaw()
        await asyncio.sleep(1.5 + (SOON if self.lossy else 0))
        for node in self.nodes:
            if node.tier.stats().pending:
                self.blame(f"node {node.number} still has {node.tier}")
            for text in KEYS:
                kept = await node.kept(text)
                if kept not in {None, self.truth[text]}:
                    self.blame(f"node {node.number} keeps {text} {kept}, true is {self.truth[text]}")
                found = (await node.tier.read([text]))[0]
                if found is not None and found.value != self.truth[text]:
                    self.blame(f"node {node.number} reads {text} {found.value}, true is {self.truth[text]}")
        for node in self.nodes:
            await node.aclose()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            self.blame(f"left behind: {left}")


def explore(seed, kind=Node):
    """Run one seed with nodes of one kind; returns its world."""
    loop = VirtualTimeLoop()
    world = World(seed, loop, kind)
    loop.set_exception_handler(lambda _, context: world.blame(f"reported to the loop only: {context}"))
    try:
        loop.run_until_complete(world.run())
    finally:
        loop.close()
    return world


def main(first, stop):
    """Run the seeds from ``first`` up to ``stop``, with both kinds of nodes in turn; 1 where one breaks a rule."""
    logging.disable(logging.CRITICAL)
    kinds = (Node, CacheNode)
    found = [(seed, what) for seed in range(first, stop) for what in explore(seed, kinds[seed % 2]).violations]
    for seed, what in found[:20]:
        print(f"seed {seed}: {what}")  # noqa: T201 - a command prints
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
