"""Litestar's handlers.

adapter.py   ties one to the cache
route.py     how its route makes a response of a value, and what it reads of a request
ready.py     a response whose bytes are at hand
"""

from .adapter import Adapter

__all__ = ["Adapter"]
