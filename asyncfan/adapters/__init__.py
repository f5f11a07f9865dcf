"""One thin file or folder a framework, server or engine; none is imported before it is needed.

fastapi/, starlette.py, ...   what `cache_response` knows of a framework
undeclared.py, in_place.py    what several of them have in common
passed.py                     what a decorator passes to a handler
sending.py                    handlers that send their response by themselves, while they run
misplaced.py                  decorators in the wrong order
unanswering.py                what has no response to cache
asgi/, wsgi/                  a middleware in front of any application
behind.py                     what those two have in common
strawberry.py, grpc.py,       a scope around each operation, RPC, task and message
  taskiq.py, faststream.py
redis/                        a `Store` on Redis or Valkey
dask.py, ray.py               executors on clusters
"""

from ..http.frameworks import register

__all__ = ["register"]
