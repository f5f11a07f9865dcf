"""One thin file a framework, server or engine; none is imported before it is needed.

fastapi.py, starlette.py   what `cache_response` knows of a framework
asgi.py, wsgi.py           a middleware in front of any application
redis/                     a `Store` on Redis or Valkey
ray.py                     an executor on a Ray cluster
"""

from ..http.frameworks import register

__all__ = ["register"]
