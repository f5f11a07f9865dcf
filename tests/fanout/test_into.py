"""Results without names, and results as the fields of a class."""

import asyncio
import re
from dataclasses import dataclass
from typing import NamedTuple, NotRequired, TypedDict

import pytest
from pydantic import BaseModel, ValidationError

from asyncfan.fanout import gather, gather_into


async def user():
    """Be quick."""
    return "ann"


async def orders(user):
    """Need the user."""
    await asyncio.sleep(1)
    return [user]


class Named(NamedTuple):
    user: str
    orders: list[str]


@dataclass
class Data:
    user: str
    orders: list[str]
    news: str = "none"


class Typed(TypedDict):
    user: str
    orders: list[str]
    news: NotRequired[str]


class Quoted(Typed):
    more: "NotRequired[str]"


class Model(BaseModel):
    user: str
    orders: list[str]


async def test_results_without_names_are_a_tuple():
    """`gather(f, g)` gives the results in order, one as well as many, more than are typed too."""
    assert await gather(user, lambda: orders("bob")) == ("ann", ["bob"])
    assert await gather(user) == ("ann",)
    assert await gather(*[lambda i=i: i for i in range(50)]) == tuple(range(50))
    assert await gather() == {}


@pytest.mark.parametrize("into", [Named, Data, Typed, Quoted, Model])
async def test_results_are_the_fields_of_a_class(into):
    """Named tuples, dataclasses, typed dictionaries and pydantic models are made of the results."""
    assert await gather_into(into, orders=orders, user=user) == into(user="ann", orders=["ann"])


async def test_what_the_class_refuses_is_its_own_error():
    """A model that checks its values raises what it raises."""
    with pytest.raises(ValidationError):
        await gather_into(Model, user=lambda: 7, orders=lambda user: [])


@pytest.mark.parametrize(
    ("into", "tasks", "message"),
    [
        (Named, {"user": user}, "gather_into(Named): missing a required argument: 'orders'"),
        (Typed, {"user": user}, "gather_into(Typed): missing a required argument: 'orders'"),
        (
            Typed,
            {"user": user, "orders": orders, "neus": user},
            "gather_into(Typed): got an unexpected keyword argument 'neus'",
        ),
        (
            Data,
            {"user": user, "orders": orders, "neus": user},
            "gather_into(Data): got an unexpected keyword argument 'neus'",
        ),
    ],
)
async def test_names_that_the_class_does_not_take_are_refused_before_anything_starts(into, tasks, message):
    """The class is asked first."""
    called = []
    tasks["user"] = lambda: called.append(1)
    with pytest.raises(TypeError, match=f"^{re.escape(message)}"):
        await gather_into(into, **tasks)
    assert called == []


async def test_a_coroutine_by_mistake_is_closed():
    """The error for a wrong name, or for no class, is not followed by a warning."""
    with pytest.raises(TypeError, match="missing a required argument"):
        await gather_into(Named, x=user())
    with pytest.raises(TypeError, match="gather_into takes a class"):
        await gather_into(user, x=user())
