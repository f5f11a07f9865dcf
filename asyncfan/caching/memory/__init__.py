"""The memory tier, and its bounds.

store      takes entries in, drops what is expired or cleared in small steps
order      one stored value, and what keeps the stored ones within bounds
policies   which of them goes first: the choice
recency    LRU
bounded    what the next two have in common
frequency  LFU
queues     S3-FIFO
ghosts     what it remembers of what it dropped
s3fifo     the same as one of cachetools' classes
mapped     whatever order a mapping of the user's keeps
ring       a list linked through its items
weighing   how many bytes a value holds
"""
