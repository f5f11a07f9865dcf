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
nodes.py        who they are, and which of them has which slots
errands.py      a run of a script on its way to a node
runs.py         a run of a script, and how a server is told of it
slots.py        what a cluster says of its slots
packing.py      commands as bytes
connections.py  to one server, for one event loop
abrupt.py       connections that end at once
address.py      what a URL says
"""

from .store import RedisStore

__all__ = ["RedisStore"]
