"""``python -m asyncfan inspect``: what is in a tier that processes share, and clearing it, from the shell.

command.py   the options
running.py   does what they say, and gives the exit code
look.py      what a store has, without decoding a value
listing.py   the same for people, and as JSON
"""
