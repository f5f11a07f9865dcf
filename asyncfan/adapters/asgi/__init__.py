"""A middleware in front of any ASGI application.

middleware.py    answers hits without the application
application.py   the application, taken for one big handler
visit.py         one request, and how the application is asked for it
exchange.py      what it answers: held back until it is whole, or sent on as it comes
scope.py         ASGI's words; every framework that keeps them finds its requests' parts here
"""

from .middleware import CacheMiddleware, Rule

__all__ = ["CacheMiddleware", "Rule"]
