"""The tier behind memory, which processes share.

protocol.py         what a server must be able to do
envelope.py         what a value travels in: checksum, key, clears, lifetimes, the bytes
codec.py            the bytes of a value: JSON
codec_tags.py       ... and the types that JSON has not
codec_classes.py    ... and instances of the user's classes, found by name
codec_register.py   ... and what the user says of types of their own
codec_pickle.py     the bytes of a value: pickle, signed
"""
