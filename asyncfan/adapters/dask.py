"""Dask as an executor that waits: its own futures say of a call that runs that it never will."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any

__all__ = ["DaskExecutor"]

_BETWEEN_LOOKS = 0.1  # seconds
_LOOKS = 2  # that find no worker at work on a call: the first may come while one is about to begin


class DaskExecutor:
    """What ``executor=`` takes, on the cluster of a ``distributed.Client``: ``DaskExecutor(client)``.

    ``client.get_executor()`` will do too, but gives a slot back as soon as the caller is cancelled, however long the
    call runs on. Here the caller waits: what has not begun is withdrawn, and the workers are asked whether they run
    the call still. A worker that dies has its work done again elsewhere. Equal calls are all made.

    Args:
        client: A ``Client`` that is not asynchronous.
        **options: What its ``submit`` takes: ``retries=2``, ``priority=1``, ``resources={...}``, ``workers=[...]``.
    """

    def __init__(self, client: Any, **options: Any) -> None:
        self.client: Any = client
        self.options: dict[str, Any] = {"pure": False, **options}
        self._unwanted: list[_DaskFuture] = []  # those that the next `_withdraw` cancels

    def submit(self, fn: Callable[..., Any], /, *args: Any, **named: Any) -> _DaskFuture:
        """Take ``fn`` to be run on the cluster, and return its future."""
        future = _DaskFuture(self.client.submit(fn, *args, **named, **self.options), self._cancel)
        self.client.loop.add_callback(future.follow)
        return future

    def _cancel(self, future: _DaskFuture) -> None:
        self._unwanted.append(future)
        self.client.loop.add_callback(self._withdraw)

    # -- on the client's own loop, where its methods are coroutines

    async def _withdraw(self) -> None:
        """Cancel all that are unwanted at once, and let each end when no worker is at work on it."""
        futures, self._unwanted = self._unwanted, []
        absent = dict.fromkeys(futures, 0)  # {future: looks that did not find it}
        try:
            if futures:
                await self.client.cancel([future.submitted for future in futures])
            while absent and self.client.status == "running":
                await asyncio.sleep(_BETWEEN_LOOKS)
                with suppress(OSError):  # one of the workers has died, or the scheduler
                    stacks = await self.client.call_stack()  # {worker: {key: where it is}}
                    for future in list(absent):
                        at_work = any(future.submitted.key in keys for keys in stacks.values())
                        absent[future] = 0 if at_work else absent[future] + 1
                        if absent[future] == _LOOKS:
                            del absent[future]
                            future.end()
        finally:
            for future in futures:  # the cluster is gone
                future.end()

    def __repr__(self) -> str:
        return f"<DaskExecutor {self.options}>"


class _DaskFuture(Future[Any]):
    def __init__(self, submitted: Any, cancel: Callable[[_DaskFuture], None]) -> None:
        super().__init__()
        self.submitted = submitted
        self._cancel = cancel
        self._unwanted = False

    def cancel(self) -> bool:
        """Withdraw it; False, because it has ended only when no worker runs it."""
        if not self._unwanted and not self.done():
            self._unwanted = True
            self._cancel(self)
        return False

    async def follow(self) -> None:
        """Take what becomes of it; when it is unwanted it ends by `end`."""
        try:
            value = await self.submitted
        except BaseException as error:  # noqa: BLE001 - the call's, or that somebody has cancelled it
            if not self._unwanted:
                self.set_exception(error)
        else:
            if not self.done():  # the cluster may have been given up meanwhile
                self.set_result(value)

    def end(self) -> None:
        """Tell that it is not run any more."""
        if not self.done():
            self.set_exception(CancelledError())
