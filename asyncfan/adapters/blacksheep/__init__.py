"""BlackSheep's handlers.

adapter.py    ties one to the cache
watching.py   its requests, made to tell of the headers that are read of them
declared.py   what its parameters read of a request
"""

from .adapter import Adapter

__all__ = ["Adapter"]
