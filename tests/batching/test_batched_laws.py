"""Whatever callers do with a loader, each key is sent once while it is wanted, and each caller is answered once."""

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from asyncfan import batched
from asyncfan.testing import VirtualTimeLoop

KEYS = st.integers(0, 5)


class Loading(RuleBasedStateMachine):
    """Drive one loader by hand: callers come and go, the loop turns, calls end when told to (F49)."""

    @initialize(size=st.sampled_from([1, 2, 3, 100, None]), mapping=st.booleans())
    def begin(self, size, mapping):
        """Make a loader of some size."""
        self.runner = asyncio.Runner(loop_factory=VirtualTimeLoop)
        self.loop = self.runner.get_loop()
        self.running, self.callers, self.left = [], [], set()

        @batched(max_batch_size=size)
        async def load(keys):
            assert len(set(keys)) == len(keys) <= (size or 99), "a key twice, or too many"
            wanted = {key for key, task in self.callers if not task.done() and task not in self.left}
            assert wanted.issuperset(set(keys)), "a key that nobody wants"
            on_its_way = {key for joinable, end in self.running if not end.done() for key in joinable}
            assert on_its_way.isdisjoint(keys), "a key that is on its way"
            end = self.loop.create_future()
            call = (set(keys), end)
            self.running.append(call)
            try:
                await end
            finally:
                self.running.remove(call)
            return {key: (key, end) for key in [*keys, 99]} if mapping else [(key, end) for key in keys]

        self.load = load

    async def _turn(self, passes):
        for _ in range(passes):
            await asyncio.sleep(0)

    @rule(keys=st.lists(KEYS, min_size=1, max_size=4))
    def call(self, keys):
        """Ask for one key, or for many."""
        one = len(keys) == 1

        async def call():
            found = [await self.load(keys[0])] if one else await self.load.many(keys)
            assert [key for key, _ in found] == keys, "not in order"

        task = self.loop.create_task(call())
        self.callers += [(key, task) for key in keys]
        self.runner.run(self._turn(1))

    @rule(which=st.integers(0, 99))
    def leave(self, which):
        """Cancel one caller."""
        if self.callers:
            task = self.callers[which % len(self.callers)][1]
            if task.cancel():
                self.left.add(task)

    @rule(passes=st.integers(1, 4))
    def turn(self, passes):
        """Let the loop turn."""
        self.runner.run(self._turn(passes))

    @rule(which=st.integers(0, 99))
    def end(self, which):
        """Let one call end."""
        if self.running:
            end = self.running[which % len(self.running)][1]
            if not end.done():
                end.set_result(None)

    @rule(key=KEYS)
    def clear(self, key):
        """Let nobody join a load that has begun."""

        async def clear():
            self.load.clear(key)

        self.runner.run(clear())
        for joinable, _ in self.running:
            joinable.discard(key)

    @invariant()
    def nobody_fails(self):
        """No caller has raised, but those who were cancelled."""
        for _, task in getattr(self, "callers", ()):
            if task.done() and not (task.cancelled() and task in self.left):
                task.result()

    def teardown(self):
        """Let all end: everybody is answered, and nothing is left."""
        if not hasattr(self, "runner"):
            return

        async def finish():
            for _ in range(100):
                for _, end in self.running:
                    if not end.done():
                        end.set_result(None)
                await self._turn(3)

        self.runner.run(finish())
        self.nobody_fails()
        assert all(task.done() for _, task in self.callers), "not answered"
        assert self.load.loader.queues == {}
        self.runner.close()


TestLoading = Loading.TestCase
TestLoading.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
