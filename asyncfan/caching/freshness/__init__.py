"""How long a value lives.

options    what a cached function can be told, checked
freshness  the same, made ready
adaptive   `AdaptiveExpire`: an expiry that follows what loads measure
aging      an entry that may be of use after it has expired
load       `current_load`: what a load says of its own value
"""
