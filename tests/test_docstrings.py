"""Every example in a docstring of the package runs and gives what it says."""

import doctest
import importlib
import pkgutil

import pytest

import asyncfan

MODULES = ["asyncfan", *(found.name for found in pkgutil.walk_packages(asyncfan.__path__, "asyncfan."))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_run(name):
    """A reader may copy any example of the module."""
    module = importlib.import_module(name)
    found = doctest.testmod(
        module, extraglobs=_names_for(module), optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    )
    assert found.failed == 0


def test_there_are_examples():
    """The examples are really found: most modules with public names have one."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    count = sum(bool(test.examples) for name in MODULES for test in finder.find(importlib.import_module(name)))
    assert count >= 15


def _names_for(module):
    """What an example may use without importing it: the package's public names, the module's own first."""
    import asyncio

    public = {name: getattr(asyncfan, name) for name in asyncfan.__all__}
    return {"asyncio": asyncio, **public, **vars(module)}
