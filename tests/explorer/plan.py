"""What happens in one schedule, made by chance from a seed."""

import random
import sys
from dataclasses import dataclass

# What is called: ``f`` with freshness options, ``g`` without, an endpoint, ``b`` over a batched function, items by
# `get_or_set`, ``s`` an async generator. Each schedule has some of them.
NAMES = ("f", "g", "page", "b", "i", "s")
UNSCOPED = {"page", "i"}  # a tenant is no part of their keys
CASTS = (("f", "f", "g", "page"),) * 3 + (("b", "b", "f", "page"), ("b", "b", "b", "i"), ("f", "i", "i", "b"))
STREAM_CASTS = (("s", "s", "s", "f"), ("s", "s", "s", "g"), ("s", "s", "f", "f"))
WORN_CASTS = (("i", "i", "i", "page"), ("page", "page", "page", "i"), ("i", "i", "page", "b"))
AGING_CASTS = (("f", "f", "f", "page"), ("f", "f", "f", "b"), ("b", "b", "b", "f"))
KEYS = (0, 1, 2)
TENANTS = (None, None, None, "a")
TARGETS = tuple(f"{n}:{k}{t}" for n in NAMES for k in KEYS for t in ("", ":@tenant/a") if not (t and n in UNSCOPED))
PATTERNS = ("{}:1", "{}:1*", "{}*", "{}:*", "*:1", "p*", "{}:1:*", "{}:*a", "{}:1:@tenant/a")
TAGS = ("t0", "t1")
STREAMS, WORN = 3, 5  # of seven seeds: in the one there are generators, in the other ages what ages in no other
STALE = (1, 2)  # of five seeds: in these ``f`` and ``b`` have freshness options
PAGE_OPTIONS = ("stale_while_revalidate", "stale_if_error")
RESULTS = ("value",) * 10 + ("error", "error", "cancel", "unshared", "missing", "missing")
TROUBLES = ("error", "error", "error")
INSIDE = ("f", "g", "g", "g", "invalidate", "put", "peek")  # what is done in the middle of a load
STREAM_INSIDE = ("f", "g", "s", "s", "invalidate", "put", "peek")
QUICK = ("call",) * 10 + ("cancel",) * 4 + ("sleep",) * 2 + ("invalidate",) * 2
QUICK += ("many", "refresh", "put", "peek", "clear", "clear_tags", "turn", "seldom")
SLOW = (*QUICK, "sleep", "sleep", "sleep", "sleep", "sleep", "sleep", "call", "call", "many")  # so that values age
PAUSES = ((1,) * 6 + (2,) * 4 + (3, 3, 0.2, 0.2, 0.2, 0.7, 0.7, 0.7)) * 2 + (None,)


class Chance(random.Random):
    """A seeded source of chance with a choice that is three times as fast as ``choice``, if not as even."""

    def pick(self, items):
        """Return one of ``items``."""
        return items[int(self.random() * len(items))]

    def below(self, stop):
        """Return a whole number from 0 up to ``stop``, without it."""
        return int(self.random() * stop)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one load goes."""

    pauses: tuple  # how long it waits: turns of the loop as int, virtual seconds as float; None: see `World._pause`
    # or "error", "cancel" (raises CancelledError by itself), "unshared" (``page``), "missing" (``b``: is no such thing;
    # a ``page`` that ages: a response that tells of a failure)
    result: str = "value"
    # in the middle, of a generator before its middle item: (name, key, timeout) to call, or (another action, key, None)
    inside: tuple | None = None
    cancelled: str = "leave"  # or "ignore" (goes on as if nothing were), "error"
    cleanup: tuple = ()  # pauses before it ends when cancelled
    tags: tuple = (None, None)  # what it adds when it begins, and before it ends


INSTANT = Behaviour(())


@dataclass(frozen=True, slots=True)
class Reader:
    """How the items of a generator are read."""

    pauses: tuple = ()  # after the first items, one each
    most: int | None = None  # items after which it leaves; None: it reads to the end


EAGER = Reader()


@dataclass(frozen=True, slots=True)
class Plan:
    """All that happens in one schedule."""

    fences: bool  # clears leave a fence, and sweeping takes many steps, as in a big table
    scan_limit: int  # entries that a clear may look at at once; counts where there are fences
    list_limit: int  # entries above which an index is made by a round of the sweep; as above
    eager: bool  # tasks start at once (3.12)
    eager_depth: int  # nested loads that start at once; with 1 none does
    maxsize: int | None
    policy: str
    expire: float | None
    cast: tuple  # what is called
    stale: dict  # freshness options of ``f`` and ``b``
    batch: dict  # further options of ``b``
    batch_size: int | None
    turns: tuple  # for each turn of the loop: the actions in it
    loads: tuple  # Behaviours, used in turn
    stream: dict  # options of ``s``
    readers: tuple  # of ``s``: Readers, used in turn
    items: dict  # freshness options of ``i``
    page: dict  # how long a ``page`` is served after its expiry

    @classmethod
    def of(cls, seed):
        """Make the plan of a seed."""
        rng = Chance(seed)
        streams, worn = seed % 7 == STREAMS, seed % 7 == WORN
        ages = worn or seed % 5 in STALE
        cast = rng.pick(STREAM_CASTS if streams else WORN_CASTS if worn else AGING_CASTS if ages else CASTS)
        stale = _stale(random.Random(seed)) if ages else {}
        return cls(
            fences=bool(seed % 2),
            scan_limit=seed // 4 % 3,
            list_limit=seed // 12 % 2 * 100,
            eager=sys.version_info >= (3, 12) and bool(seed // 2 % 2),
            eager_depth=rng.pick((1, 2, 16)),
            maxsize=rng.pick((None, 100, 100, 3) if ages else (None, 100, 3, 2)),
            policy=rng.pick(("lru", "lfu", "s3fifo")),
            expire=rng.pick((0.5, 0.5, 3.0) if ages else (None, 3.0, 0.5)),
            cast=cast,
            stale=stale,
            batch=_batch(rng) if "b" in cast else {},
            batch_size=rng.pick((None, 1, 2)),
            turns=tuple(
                tuple(_action(rng, cast, SLOW if ages else QUICK) for _ in range(rng.pick((0, 1, 1, 2))))
                for _ in range(4 + rng.below(12))
            ),
            loads=tuple(
                _behaviour(rng, RESULTS + TROUBLES if ages else RESULTS, STREAM_INSIDE if streams else INSIDE)
                for _ in range(7)
            ),
            stream=_stream(rng) if streams else {},
            readers=tuple(_reader(rng) for _ in range(5)) if streams else (),
            items=stale | _batch(rng) if worn else {},
            page={name: stale[name] for name in PAGE_OPTIONS if name in stale} if worn else {},
        )


def _stale(rng):
    """Return some freshness options."""
    most = {
        "stale_while_revalidate": rng.choice((0.3, 2.0)),
        "stale_if_error": rng.choice((0.3, 2.0)),
        "refresh_ahead": rng.choice((True, 20.0)),
        "soft_timeout": rng.choice((0.1, 0.5)),
        "hard_timeout": rng.choice((0.1, 0.5)),
    }
    return {name: value for name, value in most.items() if rng.random() < 0.5}


def _batch(rng):
    """Return some options of loads and of what they give: a limiter's size, and how long what is missing is kept."""
    most = {"limiter": rng.pick((1, 2)), "jitter": 0.5, "negative_expire": rng.pick((0.4, 2.0))}
    return {name: value for name, value in most.items() if rng.random() < 0.5}


def _stream(rng):
    """Return some options of a generator."""
    most = {"max_items": rng.pick((1, 2)), "jitter": 0.5}
    return {name: value for name, value in most.items() if rng.random() < 0.5}


def _reader(rng):
    return Reader(_pauses(rng, 3), rng.pick((None, None, None, 1, 2)))


def _pauses(rng, most):
    return tuple(rng.pick(PAUSES) for _ in range(rng.below(most)))


def _behaviour(rng, results, insides):
    inside = None
    if rng.random() < 0.35:
        what = rng.pick(insides)
        inside = (what, rng.pick(KEYS), rng.pick((None, 0.1)))
    return Behaviour(
        _pauses(rng, 4),
        rng.pick(results),
        inside,
        rng.pick(("leave", "leave", "leave", "ignore", "error")),
        _pauses(rng, 3),
        (rng.pick((None, None, *TAGS)), rng.pick((None, None, *TAGS))),
    )


def _action(rng, cast, kinds):
    kind = rng.pick(kinds)
    if kind == "seldom":
        kind = rng.pick(("clear_prefix", "clear_all", "cache_clear", "gc", "close"))
    name, key, tenant = rng.pick(cast), rng.pick((0, 1, 1, 1, 2)), rng.pick(TENANTS)
    if kind == "many":
        name, keys = "f" if name in {"page", "s"} else name, rng.pick(((0, 1), (1, 2), KEYS, (1, 1, 2)))
        return kind, name, keys, tenant, rng.random() < 0.5
    if kind in {"call", "refresh"}:
        timeout = rng.pick((None, None, None, 0.1, 0.5))
        return kind, name, key, tenant, timeout, rng.pick((0, 0, 1, 2))
    if kind in {"invalidate", "put", "peek", "cache_clear"}:
        return kind, name, key, tenant
    if kind == "clear_prefix":
        return kind, rng.pick(((name,), (name, key)))
    if kind == "clear_tags":
        return kind, rng.pick((TAGS[:1], TAGS[1:], TAGS))
    value = {"clear": rng.pick(PATTERNS).format(name), "cancel": rng.random(), "sleep": rng.pick((0.1, 0.4, 1.5))}
    return (kind, value[kind]) if kind in value else (kind,)
