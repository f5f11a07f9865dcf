"""Nothing is unpickled that was not signed, with our secret, for the key that it is found under."""

import pickle

import pytest

from asyncfan.caching.shared.codec.as_pickle import UnsafePickle
from asyncfan.exceptions import UnstorableValueError

SECRET, OTHER, NEWER = b"0123456789abcdef", b"fedcba9876543210", b"a newer secret, and longer"

ran = []


class Payload:
    """Runs code where it is unpickled."""

    def __reduce__(self):
        return ran.append, ("ran",)


class Kept:
    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return self.x == other.x

    __hash__ = None


@pytest.mark.parametrize(
    "value", [None, {1: {2}}, Kept([1]), Kept(Kept(1)), len], ids=lambda value: type(value).__name__
)
def test_signed_value_comes_back(value):
    """What pickle keeps is kept."""
    unsafe = UnsafePickle(secret=SECRET)
    assert unsafe.loads(unsafe.dumps(value, "key"), "key") == value


@pytest.mark.parametrize("change", [0, 10, 31, 32, 40, -1])
def test_changed_byte_is_not_unpickled(change):
    """A byte of the signature or of the pickle that is another one is refused before anything is unpickled."""
    data = bytearray(UnsafePickle(secret=SECRET).dumps(Payload(), "key"))
    data[change] ^= 1
    refuse(UnsafePickle(secret=SECRET), bytes(data))


@pytest.mark.parametrize("data", [b"", b"short", pickle.dumps(Payload()), bytes(32) + pickle.dumps(Payload())])
def test_unsigned_pickle_is_not_unpickled(data):
    """A pickle of somebody else's is refused."""
    refuse(UnsafePickle(secret=SECRET), data)


def test_pickle_of_another_key_is_not_unpickled():
    """A signed value cannot be moved to another key, nor the border between key and value be shifted."""
    unsafe = UnsafePickle(secret=SECRET)
    data = unsafe.dumps(Payload(), "key")
    refuse(unsafe, data, "other")
    signature, body = data[:32], data[32:]
    refuse(unsafe, signature + b"y" + body, "ke")


def test_pickle_of_another_secret_is_not_unpickled():
    """Who does not know the secret cannot write."""
    refuse(UnsafePickle(secret=SECRET), UnsafePickle(secret=OTHER).dumps(Payload(), "key"))


def refuse(unsafe, data, key="key"):
    """See that the data is refused, and that nothing in it ran."""
    ran.clear()
    with pytest.raises(ValueError, match="the signature is not ours"):
        unsafe.loads(data, key)
    assert ran == []


def test_old_secret_reads_and_does_not_write():
    """While a new secret is brought in, what was signed by the old one is read, and all is signed by the new one."""
    rotating = UnsafePickle(secret=NEWER, old_secrets=[OTHER, SECRET])
    assert rotating.loads(UnsafePickle(secret=SECRET).dumps(1, "key"), "key") == 1
    assert UnsafePickle(secret=NEWER).loads(rotating.dumps(1, "key"), "key") == 1
    refuse(UnsafePickle(secret=SECRET), rotating.dumps(1, "key"))


def test_value_that_pickle_refuses_is_our_error():
    """The error names the type and what pickle says, whatever it raised."""
    with pytest.raises(UnstorableValueError, match=r"type function cannot be stored .*: pickle says: .*<lambda>"):
        UnsafePickle(secret=SECRET).dumps(lambda: None, "key")


def test_secret_is_not_shown():
    """The repr may stand in a log."""
    assert repr(UnsafePickle(secret=SECRET, old_secrets=[OTHER])) == "<UnsafePickle 1 old secrets>"


@pytest.mark.parametrize(
    ("secret", "old", "error", "message"),
    [
        ("0123456789abcdef", (), TypeError, "a secret of UnsafePickle must be bytes, got str"),
        (b"0123456789abcde", (), ValueError, "a secret of UnsafePickle must be >= 16 bytes long, got 15"),
        (SECRET, [b""], ValueError, "a secret of UnsafePickle must be >= 16 bytes long, got 0"),
        (SECRET, OTHER, TypeError, "a secret of UnsafePickle must be bytes, got int"),
    ],
)
def test_bad_secret_is_refused(secret, old, error, message):
    """A secret that is none fails where it is given."""
    with pytest.raises(error) as caught:
        UnsafePickle(secret=secret, old_secrets=old)
    assert str(caught.value) == message
