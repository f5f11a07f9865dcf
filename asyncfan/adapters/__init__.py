"""One thin file a framework; none is imported before it is needed."""

from ..http.frameworks import register

__all__ = ["register"]
