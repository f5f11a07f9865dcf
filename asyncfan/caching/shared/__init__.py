"""The tier behind memory, which processes share.

protocol.py    what a server must be able to do
guard.py       keeps a server that is gone, frozen or slow from slowing anybody down
deadline.py    for an answer; our own event loop being busy does not use it up
courier.py     takes the commands of all callers to the server together
per_loop.py    what each event loop has one of: its connections
"""
