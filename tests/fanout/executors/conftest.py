"""The engines that take the work: each is started once, and only if a test asks for it."""

import contextlib
import gc
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import NamedTuple

import pytest

# Ray takes 300 MB of disk and half a minute to start: ASYNCFAN_ENGINES=ray runs the contract on it.
ENGINES = os.environ.get("ASYNCFAN_ENGINES", "threads duck processes loky dask dask_adapter").split()


class Engine(NamedTuple):
    """An executor, and in what its nature differs from the others'."""

    name: str
    executor: object
    processes: bool = True  # whether work leaves this process
    outlasts: bool = True  # whether its futures tell that a call runs, so that a cancelled caller waits for it
    by_value: bool = False  # whether it sends functions that cannot be imported there
    hears: float = 0.05  # seconds after which a cancellation has reached all who queue calls


class DuckFuture:
    """As little as a future may be."""

    def __init__(self, function, args, slots):
        self.callbacks, self.outcome, self.state = [], None, "pending"
        self.lock = threading.Lock()
        threading.Thread(target=self.run, args=(function, args, slots), daemon=True).start()

    def run(self, function, args, slots):
        with slots:
            with self.lock:
                if self.state == "cancelled":
                    return
                self.state = "running"
            try:
                self.outcome = (function(*args), None)
            except BaseException as error:  # noqa: BLE001 - as futures do
                self.outcome = (None, error)
            with self.lock:
                self.state = "done"
        for callback in self.callbacks:
            callback(self)

    def add_done_callback(self, callback):
        with self.lock:
            if self.state != "done":
                self.callbacks.append(callback)
                return
        callback(self)

    def result(self):
        value, error = self.outcome
        if error is not None:
            raise error
        return value

    def cancel(self):
        with self.lock:
            if self.state == "pending":
                self.state = "cancelled"
            return self.state == "cancelled"


class Duck:
    """As little as an executor may be."""

    __slots__ = ("slots",)

    def __init__(self):
        self.slots = threading.Semaphore(2)

    def submit(self, function, /, *args):
        return DuckFuture(function, args, self.slots)


def spawning():
    """Make a process pool; forking a process that has threads is deprecated, and warned of."""
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


@pytest.fixture(scope="session")
def threads():
    """Two threads of the standard library."""
    with ThreadPoolExecutor(2) as pool:
        yield Engine("threads", pool, processes=False, by_value=True)


@pytest.fixture(scope="session")
def duck():
    """Two threads of the least that an executor can be."""
    return Engine("duck", Duck(), processes=False, by_value=True)


@pytest.fixture(scope="session")
def processes():
    """Two processes of the standard library."""
    with spawning() as pool:
        yield Engine("processes", pool)


@pytest.fixture(scope="session")
def loky():
    """Two processes of loky, which joblib uses."""
    from loky import get_reusable_executor

    pool = get_reusable_executor(max_workers=2)
    yield Engine("loky", pool, by_value=True)
    pool.shutdown(wait=True, kill_workers=True)


@contextlib.contextmanager
def dask_cluster():
    """Start a Dask cluster of two worker processes on this machine."""
    from distributed import Client, LocalCluster

    gc.freeze()  # a thousand modules, which the collection after each test need not walk through
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs="CRITICAL") as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def dask_client():
    """A client of a Dask cluster, whose workers live as long as it."""
    with dask_cluster() as client:
        yield client


@pytest.fixture
def mortal():
    """A client of a Dask cluster whose workers a test may kill: it does not always start others for them."""
    with dask_cluster() as client:
        yield client


@pytest.fixture(scope="session")
def dask(dask_client):
    """Dask's own executor."""
    return Engine("dask", dask_client.get_executor(pure=False), outlasts=False, by_value=True, hears=0.5)


@pytest.fixture(scope="session")
def dask_adapter(dask_client):
    """Ours, which waits for what runs."""
    from asyncfan.adapters.dask import DaskExecutor

    return Engine("dask_adapter", DaskExecutor(dask_client), by_value=True, hears=0.5)


@pytest.fixture(scope="session")
def ray():
    """A Ray cluster of two worker processes on this machine."""
    import ray

    from asyncfan.adapters.ray import RayExecutor

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=80_000_000)
    yield Engine("ray", RayExecutor(), outlasts=False, by_value=True, hears=0.5)  # it interrupts what runs
    ray.shutdown()


@pytest.fixture(scope="session", params=ENGINES)
def engine(request):
    """Each of them in turn."""
    return request.getfixturevalue(request.param)
