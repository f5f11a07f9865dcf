"""What `cache_function` can be told beside expiry, prefix and level: checked where it is written."""

from __future__ import annotations

import inspect
import math
import string
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, cast

from ...fanout.limiter import check_limiter
from ..calls.level import bare_seconds, seconds_of
from .freshness import Freshness
from .load import checked_tags

if TYPE_CHECKING:
    from datetime import timedelta

    from ...fanout import Limiter
    from .adaptive import AdaptiveExpire

__all__ = ["CacheOptions", "FreshnessOptions", "adaptive_of", "check_names", "freshness_of"]


class FreshnessOptions(TypedDict, total=False):
    """What can be said of a value's life and of its load; all times are seconds or `timedelta`.

    Attributes:
        stale_while_revalidate: How much longer than ``expire`` a value is served while a load in the background
            replaces it (RFC 5861).
        stale_if_error: How much longer than ``expire`` a value is served where its load fails (RFC 5861); the next
            load then waits: 1 s, and twice as long after each further failure, up to 30 s.
        refresh_ahead: Load anew in the background before a value expires, the earlier the longer its load takes and
            the more it is asked for (XFetch); True, or a number above 1 for still earlier.
        jitter: The share of ``expire``, up to 1, by which it is shortened at random, so that what was loaded together
            does not expire together.
        negative_expire: How long None, and exceptions of ``cache_exceptions``, are kept; not given: ``expire``.
        cache_exceptions: Exception classes that are answers, such as a NotFound: hits raise a copy.
        cache_if: Called with a loaded value, says whether to store it.
        soft_timeout: How long a caller waits for a load where an expired value may be served; it gets that then, and
            the load goes on in the background.
        hard_timeout: How long a load may take, its wait for the limiter included, before it is cancelled and fails
            with `AttemptTimeoutError`. For ``async def`` only.
        limiter: A `Limiter` that loads pass through, those in the background last. For ``async def`` only.
    """

    stale_while_revalidate: float | timedelta
    stale_if_error: float | timedelta
    refresh_ahead: bool | float
    jitter: float
    negative_expire: float | timedelta | None
    cache_exceptions: type[Exception] | tuple[type[Exception], ...]
    cache_if: Callable[[Any], bool] | None
    soft_timeout: float | timedelta | None
    hard_timeout: float | timedelta | None
    limiter: Limiter | None


class CacheOptions(FreshnessOptions, total=False):
    """The keyword options of `Cache.cache_function`: those of `FreshnessOptions`, and these.

    Attributes:
        key: Called with the arguments, gives the value to key by in their place.
        ignore: Names of parameters that the result does not depend on.
        copy: "none" hands the same object to every caller, who must not change it; "shallow" and "deep" hand each
            caller a copy.
        max_workers: How many loads of one ``many`` run at once, 32 by default; None is no limit. A plain function's
            run one after the other.
        tags: By which `Cache.clear_tags` drops values: texts such as "user:{user_id}", filled in from the arguments,
            or a function of the arguments that returns some.
        max_items: The most items of an async generator that are kept; None is no limit but ``max_bytes``; 10,000 if
            not given.
    """

    key: Callable[..., Any] | None
    ignore: Collection[str]
    copy: str
    max_workers: int | None
    tags: str | Iterable[str] | Callable[..., Iterable[str]]
    max_items: int | None


def check_names(options: dict[str, Any], kind: type = CacheOptions, name: str = "cache_function") -> None:
    """Refuse an option that the function ``name`` does not have.

    Raises:
        TypeError: One has another name.
    """
    known = kind.__annotations__
    for option in options:
        if option not in known:
            raise TypeError(f"{name}() has no option {option!r}; it has {', '.join(known)}")


def adaptive_of(expire: Any) -> AdaptiveExpire | None:
    """Return ``expire`` if it is to be found out; known by its method, so that its module need not be loaded here."""
    return expire if hasattr(expire, "controller") else None


def freshness_of(
    function: Callable[..., Any], expire: float | AdaptiveExpire, options: CacheOptions, *, is_async: bool
) -> Freshness:
    """Return the freshness that ``options`` describe, for values that are fresh for ``expire`` seconds.

    Raises:
        TypeError: An option has the wrong type, or needs an ``async def``.
        ValueError: A number is out of bounds.
    """
    for name in ("hard_timeout", "limiter"):
        if options.get(name) is not None and not is_async:
            raise TypeError(f"{name} needs an 'async def': a plain function in a thread cannot be stopped or held back")
    check_limiter(options.get("limiter"))
    adaptive = adaptive_of(expire)
    return Freshness(
        cast("float", expire) if adaptive is None else adaptive.max,
        adaptive,
        stale_while_revalidate=_seconds("stale_while_revalidate", options.get("stale_while_revalidate", 0)),
        stale_if_error=_seconds("stale_if_error", options.get("stale_if_error", 0)),
        beta=_beta(options.get("refresh_ahead", False)),
        jitter=_number("jitter", options.get("jitter", 0), 1),
        negative_expire=_positive("negative_expire", options.get("negative_expire")),
        cache_exceptions=_exceptions(options.get("cache_exceptions", ())),
        cache_if=_callable("cache_if", options.get("cache_if")),
        soft_timeout=_positive("soft_timeout", options.get("soft_timeout")),
        hard_timeout=_positive("hard_timeout", options.get("hard_timeout")),
        limiter=options.get("limiter"),
        tags_of=tagging(function, options.get("tags", ())),
    )


def _seconds(name: str, value: Any) -> float:
    return _number(name, bare_seconds(value), math.inf, "seconds ")


def _number(name: str, value: Any, most: float, unit: str = "") -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not 0 <= value <= most or value == math.inf:
        raise ValueError(f"{name} must be {unit}>= 0{'' if most == math.inf else f' and <= {most}'}, got {value!r}")
    return float(value)


def _beta(value: bool | float) -> float:  # noqa: FBT001 - the option's value
    return float(value) if isinstance(value, bool) else _number("refresh_ahead", value, math.inf)


def _positive(name: str, value: float | timedelta | None) -> float | None:
    if value is None:
        return None
    return seconds_of(value, name, none="")


def _exceptions(value: Any) -> tuple[type[Exception], ...]:
    found = value if isinstance(value, tuple) else (value,)
    for kind in found:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise TypeError(f"cache_exceptions takes exception classes such as (NotFound,), got {kind!r}")
    return found


def _callable(name: str, value: Any) -> Any:
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be a function of the loaded value, got {value!r}")
    return value


def tagging(function: Callable[..., Any], tags: Any) -> Callable[..., tuple[str, ...]] | None:
    """Return what gives the tags of a call of ``function`` from its arguments; None where there are none.

    Raises:
        TypeError: ``tags`` are no texts and no function.
        ValueError: A tag is empty, or names no parameter.
    """
    if callable(tags):
        return _checked(cast("Callable[..., Iterable[str]]", tags))
    if not isinstance(tags, Iterable):
        raise TypeError(f'tags must be texts such as "user:{{user_id}}", or a function of the arguments, got {tags!r}')
    templates = checked_tags(tags)
    if not templates:
        return None
    signature = inspect.signature(function)
    names = [name for template in templates for name in _names_in(template)]
    for name in names:
        if name not in signature.parameters:
            raise ValueError(
                f"tags name {name!r}, but the function has the parameters {', '.join(signature.parameters)}"
            )
    if not names:
        return lambda *_, **__: templates

    def filled_in(*args: Any, **kwargs: Any) -> tuple[str, ...]:
        call = signature.bind(*args, **kwargs)
        call.apply_defaults()
        return tuple(template.format_map(call.arguments) for template in templates)

    return filled_in


def _checked(tags: Callable[..., Iterable[str]]) -> Callable[..., tuple[str, ...]]:
    return lambda *args, **kwargs: checked_tags(tags(*args, **kwargs))


def _names_in(template: str) -> Sequence[str]:
    """The parameters that a template's fields begin with."""
    fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    return [field.partition(".")[0].partition("[")[0] for field in fields]
