"""Many values, and values by a key of the user's own.

many          `many`: calls that differ in their first argument
batches       the values of several keys for one caller
batch_loads   one load of several keys, each with its own flight
items         `get_or_set`
item_batches  the loads of `get_or_set_many`
item_keys     the text of a user's key
"""
