"""One thin file a framework or server; none is imported before it is needed.

redis/         a `Store` on Redis or Valkey
"""

from ..http.frameworks import register

__all__ = ["register"]
