"""What the options of fan-out and batching may be, and what is said where they are not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapting import SharedLimit

__all__ = ["adapting", "check_chunk_size", "positive_int", "positive_number"]


def adapting(name: str, value: Any) -> SharedLimit | None:
    """Refuse what is no limit of how many may run at once; return what finds it, if it is to be found.

    Raises:
        TypeError: It is neither an int, None, ``"auto"`` nor an `AdaptiveLimit`.
        ValueError: It is less than 1, or another string.
    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        positive_int(name, value)
        return None
    from .adapting import SharedLimit  # noqa: PLC0415 - most limits are fixed
    from .adaptive import AdaptiveLimit  # noqa: PLC0415

    option = AdaptiveLimit() if value == "auto" else value
    if isinstance(option, AdaptiveLimit):
        return SharedLimit(option)
    kind = ValueError if isinstance(value, str) else TypeError
    raise kind(f"{name} must be an int >= 1, None, 'auto' or an AdaptiveLimit, got {value!r}")


def positive_int(name: str, value: Any, *, none: str = " or None") -> None:
    """Refuse what is not an int >= 1; ``none`` is empty where None is refused too.

    Raises:
        TypeError: It is not an int.
        ValueError: It is less than 1.
    """
    if value is None and none:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int >= 1{none}, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be >= 1{none}, got {value!r}")


def positive_number(name: str, value: Any, unit: str = "seconds", *, none: str = " or None") -> None:
    """Refuse what is not a finite number > 0 or None; ``none`` is empty where None is refused too.

    Raises:
        TypeError: It is not a number.
        ValueError: It is not > 0, or not finite.
    """
    if value is None and none:
        return
    message = f"{name} must be {unit} > 0{none}, got {value!r}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(message)
    if not 0 < value < math.inf:
        raise ValueError(message)


def check_chunk_size(size: Any, **refused: Any) -> None:
    """Refuse a size that is none, and options that are for one item where items go together.

    Raises:
        TypeError: It is not an int, or goes with an option that it makes meaningless.
        ValueError: It is less than 1, or a word other than "auto".
    """
    if size is None:
        return
    if isinstance(size, str):
        if size != "auto":
            raise ValueError(f"chunk_size must be an int >= 1, 'auto' or None, got {size!r}")
    else:
        positive_int("chunk_size", size, none=", 'auto' or None")
    for name, value in refused.items():
        if value is not None:
            raise TypeError(
                f"{name} is for one item, and chunk_size sends several in one call: leave one of the two out"
            )
