"""What is the same call, and a hit.

keys                 the text of a value, by which calls are the same
level                how much of the surroundings is in a key
bearers              arguments by which frameworks say who is asking
compiling            a hit: the cached function, compiled from the user's signature
call_keys            from the looked-up key to the stored one
callables            what can be cached, and what it is called
functions            `CachedFunction`: made of those above
generator_functions  the same of an async generator
decorating           `cache_function`: from what was said to the wrapper
methods              the same in a class body: the instance is filled in
twins                two functions under one name, where processes share what they return
wrappers             what it makes of a function, for type checkers and readers
"""
