"""Pickle, for values that nothing else keeps: signed, because reading a forged one runs the forger's code."""

from __future__ import annotations

import hmac
import pickle
from collections.abc import Sequence
from typing import Any

from ....exceptions import UnstorableValueError

__all__ = ["UnsafePickle"]

_SHORTEST = 16  # bytes of a secret
_SIGNATURE = 32  # bytes of HMAC-SHA256


class UnsafePickle:
    """Pickle, signed by HMAC-SHA256 with the key that the value is for; nothing is unpickled that is not.

    Whoever knows the secret and can write to the server runs code in every process that reads. A signature does not
    keep them from bringing back an older value of the same key.

    Args:
        secret: What values are signed with: 16 random bytes or more, the same in all processes.
        old_secrets: What else is accepted when reading, while a new secret is brought in.

    Raises:
        TypeError: A secret is not bytes.
        ValueError: A secret is too short.

    Example:
        >>> unsafe = UnsafePickle(secret=b"0123456789abcdef")
        >>> unsafe.loads(unsafe.dumps({1, 2}, "user:42"), "user:42")
        {1, 2}
        >>> unsafe.loads(unsafe.dumps({1, 2}, "user:42"), "user:43")
        Traceback (most recent call last):
            ...
        ValueError: the signature is not ours
    """

    name = "unsafe-pickle"

    def __init__(self, *, secret: bytes, old_secrets: Sequence[bytes] = ()) -> None:
        self._secrets = (secret, *old_secrets)
        for one in self._secrets:
            if not isinstance(one, bytes):
                raise TypeError(f"a secret of UnsafePickle must be bytes, got {type(one).__name__}")
            if len(one) < _SHORTEST:
                raise ValueError(f"a secret of UnsafePickle must be >= {_SHORTEST} bytes long, got {len(one)}")

    def __repr__(self) -> str:
        return f"<UnsafePickle {len(self._secrets) - 1} old secrets>"

    def dumps(self, value: Any, key: str) -> bytes:
        """Return the signature and the pickle of ``value``.

        Raises:
            UnstorableValueError: It cannot be pickled.
        """
        try:
            data = pickle.dumps(value, protocol=5)
        except Exception as error:  # pickle raises as it likes
            raise UnstorableValueError(type(value), f"pickle says: {error}") from error
        return _signature(self._secrets[0], key, data) + data

    def loads(self, data: bytes, key: str) -> Any:
        """Return the value, if one of the secrets has signed it for this key.

        Raises:
            ValueError: None has.
            Exception: What was signed can no longer be unpickled.
        """
        given, data = data[:_SIGNATURE], data[_SIGNATURE:]
        if not any(hmac.compare_digest(given, _signature(secret, key, data)) for secret in self._secrets):
            raise ValueError("the signature is not ours")
        return pickle.loads(data)  # noqa: S301 - it is signed


def _signature(secret: bytes, key: str, data: bytes) -> bytes:
    text = key.encode("utf-8", "surrogatepass")
    return hmac.digest(secret, b"asyncfan 1 %d:%b" % (len(text), text) + data, "sha256")
