"""The house keeps its shape: imports point down, and importing it does nothing."""

import ast
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

import asyncfan
from asyncfan import exceptions

PACKAGE = Path(asyncfan.__file__).parent

# Each floor may import from those above it in this list, and from itself.
FLOORS = [
    {"exceptions", "context", "crowd", "metrics", "climbing", "latency"},
    {"fanout"},
    {"batching"},
    {"caching"},
    {"testing"},
    {"http"},
    {"", "parallel_processor", "cache_decorators"},
    {"adapters"},
    {"demo", "inspector"},
    {"__main__"},
]
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path):
    """The dotted name of a module inside the package: "" is the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path): path for path in MODULES}


def imports_of(path, *, at_run_time_only=True):
    """The modules that a module imports, dotted; those of the package relative to it, led by a dot."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if at_run_time_only:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                node.body = [ast.Pass()]
    own = name_of(path).split(".") if name_of(path) else []
    package = own if path.name == "__init__.py" else own[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            for alias in node.names:
                whole = ".".join([*base, alias.name])
                yield f".{whole}" if whole in NAMES else f".{'.'.join(base)}"


def floor_of(module):
    """The number of the floor that a module of the package is on; a new top-level name must be given one."""
    room = module.split(".")[0]
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: name_of(path) or "asyncfan")
def test_imports_point_down(path):
    """No module imports from a floor above its own, nor the whole package from inside it."""
    for found in imports_of(path, at_run_time_only=False):
        assert not found.startswith("asyncfan"), f"{found}: imports inside the package are relative"
        if found.startswith("."):
            assert floor_of(found[1:]) <= floor_of(name_of(path)), f"{name_of(path)} imports {found}"


def test_engines_do_not_import_test_helpers():
    """The code that users run never loads what they test with."""
    users = {name_of(path) for path in MODULES for found in imports_of(path) if found.startswith(".testing")}
    assert {user.split(".")[0] for user in users} <= {"testing"}


def test_no_module_imports_itself_through_others():
    """There is no ring of imports at run time."""
    graph = {
        name: {found[1:] for found in imports_of(path) if found.startswith(".")} - {name}
        for name, path in NAMES.items()
    }
    done, under_way = set(), []

    def visit(name):
        assert name not in under_way, f"a ring: {' -> '.join([*under_way, name])}"
        if name in done:
            return
        under_way.append(name)
        for found in sorted(graph[name]):
            visit(found)
        under_way.pop()
        done.add(name)

    for name in sorted(graph):
        visit(name)


def test_cachetools_is_imported_in_one_module():
    """One module knows the dependency."""
    users = [
        name_of(path)
        for path in MODULES
        if any(found.split(".")[0] == "cachetools" for found in imports_of(path, at_run_time_only=False))
    ]
    assert len(users) == 1
    assert users[0].startswith("caching.")


@pytest.mark.parametrize("path", [path for path in MODULES if name_of(path).startswith("adapters.")], ids=name_of)
def test_adapter_is_thin(path):
    """An adapter has fewer than a hundred lines."""
    assert len(path.read_text(encoding="utf-8").splitlines()) < 100


@pytest.mark.parametrize("path", MODULES, ids=lambda path: name_of(path) or "asyncfan")
def test_module_name_says_an_idea(path):
    """No module is called by what it is not."""
    assert not {"utils", "helpers", "common", "base", "manager"} & set(name_of(path).split("."))


QUIET_IMPORT = """
import asyncio, sys, threading
made = []
asyncio.events.BaseDefaultEventLoopPolicy.new_event_loop = lambda self: made.append(self)
asyncio.base_events.BaseEventLoop.__init__ = lambda self: made.append(self)
import asyncfan
loaded = {name.split(".")[0] for name in sys.modules}
print(sorted(loaded & {"fastapi", "starlette", "pydantic", "redis", "rich", "numpy", "httpx", "uvicorn", "uvloop", "sqlite3"}))
print(made, threading.active_count())
"""


def test_import_loads_nothing_optional_and_starts_nothing():
    """``import asyncfan`` loads no framework, and makes no event loop and no thread."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}  # it loads sqlite3
    found = subprocess.run([sys.executable, "-c", QUIET_IMPORT], env=bare, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == ["[]", "[] 1"]


def test_every_public_name_is_listed_before_it_is_loaded():
    """``dir(asyncfan)``, by which shells complete, has what is loaded when it is used too."""
    listed = subprocess.run(
        [sys.executable, "-c", "import asyncfan; print(*dir(asyncfan))"], capture_output=True, text=True, check=True
    )
    assert set(asyncfan.__all__) <= set(listed.stdout.split())


def test_every_exception_is_public():
    """Whoever catches what asyncfan raises finds its type in the face."""
    assert set(exceptions.__all__) <= set(asyncfan.__all__)


def test_floors_are_those_of_the_package():
    """Every module or folder of the package has a floor."""
    rooms = {name.split(".")[0] for name in NAMES}
    assert rooms <= set(itertools.chain.from_iterable(FLOORS))


UNSHARED = """
import sys
import asyncfan, asyncfan.__main__
try:
    asyncfan.__main__.main(["demo", "--help"])
except SystemExit:
    pass
print([name for name in sys.modules if name.startswith(("asyncfan.caching.shared.tier", "asyncfan.adapters", "redis"))])
"""


def test_demo_does_not_load_the_tier():
    """Neither ``import asyncfan`` nor the demo's command loads what processes share."""
    found = subprocess.run([sys.executable, "-c", UNSHARED], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"
