"""What a `Store` does for many keys at once, done for one."""

from asyncfan.caching.shared.protocol import Hold, Wish, Write


async def lease(store, name, token, seconds, **options):
    """Ask for the right to load a key."""
    (answer,) = await store.lease([Wish(name, token, **options)], seconds)
    return answer


async def renew(store, name, token, seconds):
    """Make a lease valid for longer."""
    (renewed,) = await store.renew([Hold(name, token)], seconds)
    return renewed


async def release(store, name, token):
    """Give a lease back."""
    await store.release([Hold(name, token)])


async def write(store, name, token, data, seconds):
    """Store a value under a lease."""
    (written,) = await store.write([Write(name, token, data, seconds)])
    return written
