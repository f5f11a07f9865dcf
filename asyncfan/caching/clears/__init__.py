"""Clears: what they name, what they find, and what they leave behind.

patterns      what a clear names, and what was cleared since
index         entries by their texts
tags          entries by their tags, and which tags were cleared
clearing      clearing one operation, at once or in small steps
invalidation  the clears of a whole cache
cleared       `Cleared`: what a clear returns
"""
