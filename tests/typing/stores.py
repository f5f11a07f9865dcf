"""Every store is a `Store`, method by method."""

from __future__ import annotations

from asyncfan.adapters.redis import RedisStore
from asyncfan.caching.shared.protocol import Store
from asyncfan.testing import MemoryStore

stores: list[Store] = [RedisStore("redis://localhost"), MemoryStore()]
