"""Tornado's handlers.

adapter.py   ties a method of one to the cache
finish.py    holds back what it sends until somebody has looked at it
"""

from .adapter import Adapter

__all__ = ["Adapter"]
