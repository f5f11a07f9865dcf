"""How a value becomes bytes, and a value again.

as_json    JSON that keeps types
tags       the types that JSON has no notation for
classes    dataclasses, named tuples, enums: what they are called, and their shapes
register   the user's own types
as_pickle  pickles, signed
"""
