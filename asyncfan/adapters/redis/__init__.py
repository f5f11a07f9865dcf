"""A `Store` on Redis or Valkey.

store.py        the store: what processes share, in one server or a cluster
values.py       reads, writes and removes values in the server
leases.py       has it decided there who may load one, by lease_scripts.py
ledger.py       counts there what was cleared
listening.py    what other processes say
keys.py         how all that is spelled

server.py       one server or a cluster, from any event loop
node.py         one server as one event loop sees it: everybody's commands travel together
cluster.py      many nodes, each asked for its own keys
errands.py      a run on its way through a cluster
runs.py         of a script: how a server is told of it
slots.py        which keys are whose
connections.py  to one server, for one event loop
address.py      what a URL says
"""

from .store import RedisStore

__all__ = ["RedisStore"]
