"""Requests, responses and RFC 9111, without any framework.

decorator      `cache_response`: what may be said of an endpoint
endpoint       the decorated handler: finds its framework's request
in_thread      a plain handler that stays one
frameworks     which adapter speaks for which framework
names          no two handlers go by one
messages       what http and an adapter hand each other
serving        a request's way: key, lookup, one flight for all who wait, answer
keys           which requests are the same request
storing        which responses are stored, for how long, and as what
wishes         clients that want a fresh one
answering      a stored response as it is sent: 304, Age, HEAD
auditing       what a handler reads, held against its key
cache_control, vary, validators   the headers' grammars
"""

from .decorator import cache_response

__all__ = ["cache_response"]
