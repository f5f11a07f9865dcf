"""What must be true of every call of a cached async generator: it reads the items of one run, in order, to their end."""

import asyncio
import math


class Reading:
    """The part of the oracle that is told who reads what."""

    def ask(self, call):
        """A call waits for the next item."""
        call.asks = True

    def take(self, call, item):
        """A call was given an item."""
        value, index = item
        if call.reads is None and self._is_of(call, value):
            call.reads = value
            self._look_at(call, value)
            if value.load is not None and 0 < value.load.too_long < call.stamp:
                self.blame("reads of a run that had become too long", call, value)
        if value is not call.reads or index != call.read:
            self.blame("item out of its order", call, item)
        call.read += 1
        call.asks = False
        self.note(call, "takes", item)

    def _look_at_end(self, call, value):
        """A call has come to the end of the items of ``value``."""
        if value is None or call.read != value.given:
            self.blame("items cut short", call, value)
        elif value.load is not None and not value.load.ended:
            self.blame("end of a running load", call, value)

    def leave(self, call):
        """A call is about to leave without reading to the end."""
        self.note(call, "has read enough")
        call.leaves = True

    def has_left(self, call):
        """A call has left."""
        self._end_call(call, None)
        self.note(call, "has left")
        self._look_at_closing(call)

    def _look_at_closing(self, call):
        """Whoever leaves as the last one waits until the generator is closed."""
        value = call.reads
        if value is None or value.load is None or value.load.ended or self._is_read(value):
            return
        self.blame("generator left open", call, value.load)

    def _is_undisturbed(self, call, error):
        """A client's call was cancelled once: if it was the last one, it has waited until its generator was closed."""
        if (
            call.parent is not None
            or call.leaves
            or call.task.cancelling() != isinstance(error, asyncio.CancelledError)
        ):
            return False
        return isinstance(error, TimeoutError) or not self._is_late(call)

    def _is_read(self, value):
        return any(call.target == value.target and call.reads in {None, value} for call in self.pending)

    def value_of(self, items):
        """Return the value that stored items are of."""
        value = items[0][0]
        if list(items) != [(value, i) for i in range(value.given)]:
            self.blame("stored in part", items)
        return value

    def look_at_demand(self, load):
        """A generator is asked for another item: for somebody who waits for that one."""
        value = load.value
        if load.cancelled or load.stamp < self.closed:
            return
        for call in self.pending:
            if call.target == load.target and call.asks and call.read == value.given and call.reads in {None, value}:
                return
            if call.target == load.target and call.anew and call.reads is None:
                return
        self.blame("runs ahead", load, "after", value.given)

    def give_item(self, load):
        """A generator is about to give another item, which is returned."""
        value = load.value
        value.given += 1
        self.note(load, "gives item", value.given - 1)
        if value.given == self._option(load.target, "max_items", math.inf) + 1:
            load.too_long = next(self.stamps)
            if load.call.stamp >= self.turned[load.target]:
                self.turned[load.target] = load.too_long
        return value, value.given - 1

    def _settle(self, load):
        """A run ended a moment ago: until now it could be joined. It is stored if somebody still reads of it."""
        load.settled = next(self.stamps)
        calls = [call for call in self.pending if call.reads is load.value or call is load.call]
        stays = load.error is None and any(not self._is_leaving(call) for call in calls)
        if stays and self._is_to_be_stored(load):
            self.stored[load.target] = load.value

    def _lags(self, call):
        """More items came than are kept, and the call has still to read an earlier one."""
        most = self._option(call.target, "max_items", math.inf)
        loads = [call.reads.load] if call.reads else self.loads_of[call.target]
        return any(load.value.given - call.read > most and load.too_long > call.stamp for load in loads)

    def _cancel_readers(self, load):
        """A generator is closed, or has ended: loads that are cancelled while they read of it have to wait for that."""
        for call in [*self.pending] if load.name == "s" else ():
            if call.target == load.target:
                self._cancel_reader(call)

    def _cancel_reader(self, call):
        if call.parent is not None and call.task is not None and call.task.cancelling() > self._is_late(call):
            self.cancel_load(call.parent)

    def _may_wait_for(self, wanted, target):
        """Loads of ``target`` have called what is wanted, or what has called it."""
        found, left = set(), [target]
        while left and wanted not in found:
            left += self.asked_in[left.pop()] - found
            found.update(left)
        return wanted in found
