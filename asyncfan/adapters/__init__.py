"""One thin file a framework, server or engine; none is imported before it is needed.

ray.py         an executor on a Ray cluster
redis.py       a `Store` on Redis or Valkey, of:
  address      what a URL says
  connections  to one server, for one event loop
  node         whose callers' commands travel together
  slots        whose node is whose in a
  cluster      of nodes
  server       one node or a cluster, from any event loop
  keys         how they are spelled
  values, leases, ledger   what is done with them in the server
  listening    what other processes say
"""

from ..http.frameworks import register

__all__ = ["register"]
