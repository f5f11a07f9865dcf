"""Flask's views.

adapter.py   ties one to the cache
views.py     what they have in common with Quart's
"""

from .adapter import Adapter

__all__ = ["Adapter"]
