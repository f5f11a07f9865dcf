"""The caching half of asyncfan under one name: functions and responses that are remembered, and the cache itself."""

from typing import Final

from .caching import CacheLevel, cache
from .http import cache_response

__all__ = ["CacheLevel", "cache", "cache_function", "cache_response"]

cache_function: Final = cache.cache_function
