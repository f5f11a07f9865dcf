"""Schedules written by hand: what chance comes to too seldom. All of them keep every rule."""

from dataclasses import replace

from .plan import EAGER, INSTANT, Behaviour, Plan

PLAIN = replace(
    Plan.of(0), fences=False, eager=False, eager_depth=16, maxsize=100, policy="lru", expire=0.5, cast=("f",), stale={}
)


def call(key=1, tenant=None, timeout=None, name="f"):
    """Return the action of one call."""
    return ("call", name, key, tenant, timeout, 0)


PAGE = call(name="page")


SCENES = {
    # the old value is served while it is loaded anew; once it is too old for that, somebody joins that load, and leaves
    "who joins a load in the background leaves it": replace(
        PLAIN,
        stale={"stale_while_revalidate": 0.3},
        loads=(INSTANT, Behaviour((0.7,))),
        turns=((call(),), (("sleep", 0.6), call()), (("sleep", 0.4), call(timeout=0.1)), (("sleep", 1.5),)),
    ),
    # waited for too long, a load goes on without its caller, is joined, left again, and is to be stored
    "who has lost patience leaves the load running": replace(
        PLAIN,
        expire=0.5,
        stale={"stale_if_error": 2.0, "soft_timeout": 0.1},
        loads=(INSTANT, Behaviour((0.7,)), INSTANT),
        turns=((call(),), (("sleep", 0.6), call()), (("sleep", 0.9), call(timeout=0.1)), (("sleep", 1.5),)),
    ),
    # the sweep of many has not yet come to the entry when the load that was to replace it fails
    "a load fails just after a clear": replace(
        PLAIN,
        fences=True,
        scan_limit=0,
        list_limit=100,
        stale={"stale_if_error": 2.0},
        loads=(*[INSTANT] * 6, Behaviour((0.2, 3, 3), "error"), *[INSTANT] * 4),
        turns=(
            tuple(call(key, tenant) for key in (0, 1, 2) for tenant in (None, "a")),
            (("sleep", 0.6), call(2, "a")),
            (("sleep", 0.2), ("clear", "f*")),
        ),
    ),
    # while an old value is to be loaded anew, it is asked for with others
    "hits of many are too old": replace(
        PLAIN,
        stale={"stale_while_revalidate": 2.0},
        loads=(INSTANT, INSTANT, INSTANT),
        turns=((call(0), call(1)), (("sleep", 0.6), ("many", "f", (0, 1), None, False)), (("sleep", 0.1),)),
    ),
    # what is loaded after a clear is stored while the sweep of many has still to come to its key
    "a load ends just after a clear": replace(
        PLAIN,
        fences=True,
        scan_limit=0,
        list_limit=100,
        loads=(INSTANT,),
        turns=(
            tuple(call(key, tenant) for key in (0, 1, 2) for tenant in (None, "a")),
            (("sleep", 0.1), ("clear", "f:2*"), call(2, "a")),
            (("sleep", 0.1), call(2, "a")),
        ),
    ),
    # that a load ends badly after its caller has left says nothing of the origin, nor of what was put meanwhile
    "a load fails since its caller has left": replace(
        PLAIN,
        stale={"stale_while_revalidate": 2.0, "stale_if_error": 2.0},
        loads=(Behaviour((0.7,), cancelled="error", cleanup=(0.2,)), INSTANT),
        turns=((call(timeout=0.1), ("sleep", 0.2), ("put", "f", 1, None)), (("sleep", 0.7), call()), (("sleep", 0.2),)),
    ),
    # the origin is in trouble, so that it is left alone for a second
    "a load has just failed": replace(
        PLAIN,
        stale={"stale_if_error": 2.0},
        loads=(INSTANT, Behaviour((), "error"), INSTANT),
        turns=((call(),), (("sleep", 0.6), call()), (("sleep", 0.2), call())),
    ),
    # the old value goes while its load is waited for with less and less patience
    "an old value goes before patience ends": replace(
        PLAIN,
        stale={"stale_if_error": 2.0, "soft_timeout": 0.1},
        loads=(INSTANT, Behaviour((0.7,)), INSTANT),
        turns=((call(),), (("sleep", 0.6), call()), (("sleep", 0.05), ("invalidate", "f", 1, None))),
    ),
    # what is loaded in the background is cleared, and loaded anew: no caller and no table holds the first load any more
    "nobody but the cache holds a load": replace(
        PLAIN,
        stale={"stale_while_revalidate": 2.0},
        loads=(INSTANT, Behaviour((None,)), INSTANT),
        turns=((call(),), (("sleep", 0.6), call()), (("sleep", 0.1), ("clear", "f*"), call()), (("sleep", 1.5),)),
    ),
    # an old response is given to two while a new one is made, then the new one
    "a response is made anew in the background": replace(
        PLAIN,
        page={"stale_while_revalidate": 2.0},
        loads=(INSTANT, Behaviour((0.1,)), INSTANT),
        turns=((PAGE,), (("sleep", 0.6), PAGE, PAGE), (("sleep", 0.2), PAGE)),
    ),
    # who makes the request, and who waits for it, get the old response
    "a request fails": replace(
        PLAIN,
        page={"stale_if_error": 2.0},
        loads=(INSTANT, Behaviour((0.1,), "error"), INSTANT),
        turns=((PAGE,), (("sleep", 0.6), PAGE, PAGE)),
    ),
    "a response tells of a failure": replace(
        PLAIN,
        page={"stale_if_error": 2.0},
        loads=(INSTANT, Behaviour((0.1,), "missing"), INSTANT),
        turns=((PAGE,), (("sleep", 0.6), PAGE, PAGE)),
    ),
    # old values are given after a while
    "many items take too long": replace(
        PLAIN,
        items={"stale_if_error": 2.0, "soft_timeout": 0.1},
        loads=(INSTANT, INSTANT, Behaviour((0.7,))),
        turns=(
            (call(0, name="i"), call(name="i")),
            (("sleep", 0.6), ("many", "i", (0, 1), None, False)),
            (("sleep", 1.5),),
        ),
    ),
    "an item is put, and then cannot be loaded": replace(
        PLAIN,
        items={"stale_if_error": 2.0},
        loads=(Behaviour((), "error"), INSTANT),
        turns=((("put", "i", 1, None),), (("sleep", 0.6), call(name="i"))),
    ),
    # more came of a run than is kept, so that another one begins, which may not lose its place to the first
    "a run becomes too long": replace(
        PLAIN,
        cast=("s",),
        stream={"max_items": 2},
        readers=(EAGER,),
        loads=(Behaviour((0.2, 0.2, 0.2, 0.2, 0.2)), Behaviour((0.2, 0.2, 0.2))),
        turns=(
            (call(name="s"),),
            (("sleep", 0.65), call(name="s")),
            (("sleep", 0.25), call(name="s")),
            (("sleep", 0.25), call(name="s")),
        ),
    ),
}
