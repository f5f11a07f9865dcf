"""Entity tags: making one, and comparing it with If-None-Match (RFC 9110 sections 8.8.3 and 13.1.2)."""

from __future__ import annotations

import re
from hashlib import blake2b

__all__ = ["entity_tag", "none_match"]

_ENTITY_TAG = re.compile(rb'\s*(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")\s*(?:,|$)|[^,]*(?:,|$)')


def entity_tag(body: bytes) -> bytes:
    """Return the entity tag of ``body``: 128 bits of blake2b, the same in every process.

    It is weak, because a server in front may compress the body that it names.

    Example:
        >>> entity_tag(b"")
        b'W/"cae66941d9efbd404e4d88758ea67670"'
    """
    return b'W/"%s"' % blake2b(body, digest_size=16).hexdigest().encode()


def none_match(condition: bytes, tag: bytes) -> bool:
    """Return whether the If-None-Match header ``condition`` names ``tag``, weakly compared: then answer 304.

    Example:
        >>> none_match(b'"a", W/"b"', b'"b"'), none_match(b"*", b'"b"'), none_match(b'"c"', b'"b"')
        (True, True, False)
    """
    if condition.strip() == b"*":
        return True
    opaque = tag.removeprefix(b"W/")
    return any(match[1] == opaque for match in _ENTITY_TAG.finditer(condition) if match[1] is not None)
