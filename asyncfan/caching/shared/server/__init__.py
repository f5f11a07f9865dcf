"""The way to the server, and back.

asking    asks it, and takes every failure for the same
guard     keeps a server that is gone, frozen or slow from slowing anybody down
deadline  for an answer; our own event loop being busy does not use it up
courier   takes the commands of all callers to the server together
joining   makes of their questions one
turns     who goes next: what was begun is ended before more is begun
seen      for tasks that go on when whoever waited for them has left
per_loop  what each event loop has one of: its connections
"""
