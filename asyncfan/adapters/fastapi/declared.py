"""What the dependency tree of a FastAPI route reads of a request."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.security.base import SecurityBase
from pydantic import BaseModel

from ...http.messages import Declared

__all__ = ["declared", "guards_of"]


def guards_of(dependant: Dependant) -> list[Dependant]:
    """Return the dependencies of a handler, and theirs, at every depth."""
    return [each for child in dependant.dependencies for each in (child, *guards_of(child))]


def declared(own: Dependant, guards: list[Dependant]) -> Declared:
    """Return what a route declares: parameters of its handler and guards, and its security schemes."""
    schemes = [found for guard in guards if isinstance(found := inspect.unwrap(guard.call or declared), SecurityBase)]
    models = [getattr(scheme, "model", None) for scheme in schemes]  # a scheme of the user's may do without
    keys = [(getattr(model, "in_", None), getattr(model, "name", "")) for model in models]
    places = [(str(getattr(place, "value", place)), name) for place, name in keys if place is not None]
    opaque = any(_takes_request(guard) for guard in guards)
    fields = [*own.query_params, *(field for guard in guards for field in guard.query_params)]
    return Declared(
        query=None if opaque or any(_takes_all(field) for field in fields) else _query_names(fields),
        own_headers=frozenset([*_headers(own.header_params), *(b"cookie" for _ in own.cookie_params)]),
        headers=frozenset(name for guard in guards for name in _headers(guard.header_params)),
        cookies=frozenset(name.encode() for guard in guards for field in guard.cookie_params for name in _names(field)),
        credentials=frozenset(name.lower().encode() for place, name in places if place == "header"),
        credential_query=frozenset(name for place, name in places if place == "query"),
        opaque=opaque,
    )


def _takes_request(guard: Dependant) -> bool:
    """Whether a guard may read more than it declares; FastAPI's own security schemes say what they read."""
    if guard.request_param_name is None and guard.http_connection_param_name is None:
        return False
    return not type(guard.call).__module__.startswith("fastapi.security.")


def _takes_all(field: Any) -> bool:
    config = getattr(field.field_info.annotation, "model_config", {})
    return bool(config.get("extra") == "allow")


def _query_names(fields: Iterable[Any]) -> frozenset[str]:
    return frozenset(name for field in fields for name in _names(field))


def _headers(fields: Iterable[Any]) -> Iterator[bytes]:
    return (name.lower().encode("latin-1") for field in fields for name in _names(field))


def _names(field: Any) -> Iterator[str]:
    """Every name that a parameter may have in a request: its alias, or those of the fields of a model."""
    info = field.field_info
    if not (inspect.isclass(info.annotation) and issubclass(info.annotation, BaseModel)):
        yield from _aliases(info) or {field.name}
        return
    for name, inner in info.annotation.model_fields.items():
        for spelling in {name, *_aliases(inner)}:
            yield from {
                spelling,
                spelling.replace("_", "-"),
            }  # a header model's fields may be spelt either way


def _aliases(info: Any) -> set[str]:
    found = (info.alias, info.validation_alias, *getattr(info.validation_alias, "choices", ()))
    return {alias for alias in found if isinstance(alias, str)}
