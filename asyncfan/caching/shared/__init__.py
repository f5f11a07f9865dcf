"""The tier behind memory, which processes share.

protocol.py    what a server must be able to do
"""
