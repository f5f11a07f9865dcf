"""FastAPI's handlers.

adapter.py     ties one to the cache
signature.py   the parameters that it lacks
route.py       how its route makes a response of a value
declared.py    what its dependency tree reads of a request
"""

from .adapter import Adapter

__all__ = ["Adapter"]
