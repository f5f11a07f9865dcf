"""BlackSheep's handlers.

adapter.py    ties one to the cache
declared.py   what its parameters read of a request
"""

from .adapter import Adapter

__all__ = ["Adapter"]
