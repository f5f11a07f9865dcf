"""The caching door: `cache`, `cache_function`, `CacheLevel`."""

from .caching import CacheLevel, cache

__all__ = ["CacheLevel", "cache", "cache_function"]

cache_function = cache.cache_function
