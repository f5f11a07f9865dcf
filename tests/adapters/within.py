"""What happens inside of one request, for the sites whose endpoints are written by hand."""

import asyncio
import threading

import sites

from asyncfan import amap, batched


class Within(sites.Site):
    """A site that makes its own application, and what its endpoints do inside of one request."""

    def __init__(self):
        super().__init__(lambda _: None)
        self.together = threading.Barrier(4)  # the event loop's own threads may be no more than six

        @batched
        async def load(keys):
            self.batches.append(sorted(keys))
            return {key: f"row {key}" for key in keys}

        self._load = load

    async def loaded(self):
        """Ask a loader for the same rows twice."""
        rows = await amap(self._load, (1, 2, 1))
        return f"{rows} {await self._load(1)}"

    async def fan(self):
        """Start three calls that never end by themselves."""
        self.calls["fan"] += 1

        async def one(i):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.ended.append(i)
                raise

        await amap(one, range(3))
        return "never"
