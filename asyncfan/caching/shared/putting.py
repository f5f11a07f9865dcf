"""Makes a value ready to be put: its bytes are those of now, what they are stamped with is known later."""

from __future__ import annotations

import dataclasses
from typing import Any

from .codec.as_json import Serializer
from .envelope import Header, pack
from .rounds import Put

__all__ = ["put_of"]


def put_of(text: str, value: Any, header: Header, serializer: Serializer, compress_above: int | None) -> Put:
    """Return a put of ``value``, which may change afterwards; the header's run and number are filled in later.

    Raises:
        UnstorableValueError: The serializer cannot keep the value.
    """
    made = _Made(serializer.name, serializer.dumps(value, text))

    def stamped(run: str, number: int) -> bytes:
        return pack(text, None, dataclasses.replace(header, run=run, number=number), made, compress_above)

    return Put(stamped, header.kept)


@dataclasses.dataclass(frozen=True, slots=True)
class _Made:
    """In the place of a serializer, for one value that was made bytes of already."""

    name: str
    payload: bytes

    def dumps(self, value: Any, key: str) -> bytes:  # noqa: ARG002 - as a Serializer's
        return self.payload

    def loads(self, data: bytes, key: str) -> Any:
        raise NotImplementedError
