"""The patterns that users build of the two doors, as guides show them, work together."""

import asyncio
from typing import List  # noqa: UP035 - as guides write it

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel

from asyncfan.cache_decorators import cache, cache_function, cache_response
from asyncfan.parallel_processor import DataBatcher, ParallelProcessor

router = APIRouter()
calls = []


class BatchRequest(BaseModel):
    resource_ids: List[int]  # noqa: UP006


async def fetch_resource(number):
    """Note what was asked for."""
    calls.append(number)
    await asyncio.sleep(0)
    return {"number": number}


@cache_function(expire=300, key_prefix="parallel_batch")
async def process_items_with_cache(items: List[str], batch_size: int = 10):  # noqa: UP006
    """A cached parallel function."""
    batcher = DataBatcher(batch_size=batch_size)

    async def process_batch(batch: List[str]):  # noqa: UP006
        processor = ParallelProcessor(max_workers=len(batch))
        tasks = {f"item_{item}": lambda i=item: fetch_resource(i) for item in batch}
        results = await processor.execute_parallel(tasks)
        return list(results.values())

    return await batcher.process_batches(items, process_batch)


@router.post("/batch")
@cache_response(expire=300, prefix="batch_endpoint")
async def batch_endpoint(request: Request, batch_request: BatchRequest):
    """A parallel endpoint."""
    processor = ParallelProcessor()
    tasks = {f"resource_{id}": lambda r_id=id: fetch_resource(r_id) for id in batch_request.resource_ids}  # noqa: A001
    results = await processor.execute_parallel(tasks)
    return {"results": results}


@router.get("/dashboard/master")
@cache_response(expire=600, prefix="dashboard:master")
async def get_master_dashboard(request: Request):
    """A dashboard."""
    processor = ParallelProcessor()
    tasks = {"sales": lambda: fetch_resource(1), "alerts": lambda: fetch_resource(2)}
    return await processor.execute_parallel(tasks)


@pytest.fixture
async def client():
    """A client of an application with both endpoints, and an empty cache."""
    calls.clear()
    await cache.clear_all()
    app = FastAPI()
    app.include_router(router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://shop") as client:
        yield client


async def test_cached_parallel_function(client):
    """Batches of parallel calls in a cached function run once for equal lists."""
    once = [[{"number": "a"}, {"number": "b"}], [{"number": "c"}]]
    assert await process_items_with_cache(["a", "b", "c"], batch_size=2) == once
    assert await process_items_with_cache(["a", "b", "c"], batch_size=2) == once
    assert calls == ["a", "b", "c"]


async def test_parallel_endpoint(client):
    """A POST is cached by its body."""
    answers = [await client.post("/batch", json={"resource_ids": ids}) for ids in ([1, 2], [1, 2], [2, 1])]
    assert [answer.json()["results"]["resource_2"] for answer in answers] == [{"number": 2}] * 3
    assert calls == [1, 2, 2, 1]


async def test_dashboard_until_its_prefix_is_cleared(client):
    """Sources are asked at once, and again when ``cache.clear("dashboard*")`` has been said, without await."""
    await client.get("/dashboard/master")
    await client.get("/dashboard/master")
    assert sorted(calls) == [1, 2]
    cache.clear("dashboard*")
    await client.get("/dashboard/master")
    assert sorted(calls) == [1, 1, 2, 2]
