"""Django's views.

adapter.py    ties one to the cache
response.py   taken apart and put together; what middlewares add to it afterwards
"""

from .adapter import Adapter

__all__ = ["Adapter"]
