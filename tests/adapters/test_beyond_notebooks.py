"""Cached functions in notebooks, shells and scripts: a redefined function is another one, and loops come and go."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import asyncfan
from asyncfan import Cache, batched
from asyncfan.testing import MemoryStore

pytestmark = pytest.mark.real_time

NOTEBOOK = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
shell.history_manager.enabled = False

def run(cell):
    done = shell.run_cell(cell, store_history=False)
    done.raise_error()
    return done.result

found = {}
for name, store in (("memory", "None"), ("shared", "MemoryStore()")):
    run(f'''
from asyncfan import Cache
from asyncfan.testing import MemoryStore
cache, loads = Cache(store={store}), []
''')
    CELL = '''
@cache.cache_function(expire=60)
async def f(n):
    loads.append(n)
    return n + ADDED
'''
    PLAIN = '''
@cache.cache_function(expire=60)
def plain(n):
    return [n + x for x in (1, ADDED)]
plain(10)
'''
    def ask(added, blank=""):
        run(blank + CELL.replace("ADDED", added))
        return run("await f(10)")

    facts = found[name] = {"redefined": [ask("1"), ask("2"), ask("2 + 0 * n")]}
    facts["plain"] = [run(PLAIN.replace("ADDED", added)) for added in "12"]
    run("loads = []")
    run(CELL.replace("ADDED", "3")), run("await f(10)"), run("await f(10)")
    ask("3", "\\n\\n")
    facts["as it was"] = run("[*loads]")
    facts["cleared"] = []
    for pattern in ("__main__.f:*", "__main__.f:10"):
        run(f"loads.clear(); await cache.clear({pattern!r}); await f(10)")
        facts["cleared"].append(run("[*loads]"))
    run("await cache.aclose()")
print(json.dumps(found))
"""


def printed(*command, **options):
    """Return what a Python process prints."""
    paths = [str(Path(asyncfan.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "IPYTHONDIR": options.pop("home", ".")}
    done = subprocess.run(
        [sys.executable, *command],
        text=True,
        check=False,
        timeout=60,
        env=env,
        stdout=subprocess.PIPE,
        **{"stderr": subprocess.PIPE, **options},
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """Return what came of cells that a real IPython has run, in a process of its own."""
    out = printed("-c", NOTEBOOK, home=str(tmp_path_factory.mktemp("ipython")))
    return json.loads(out.splitlines()[-1])  # IPython has shown the results of cells before


@pytest.mark.parametrize("kept", ["memory", "shared"])
def test_redefined_function_does_not_hit_its_old_entries(notebook, kept):
    """The cell that is run with other code has the same name and other entries, with and without a shared tier."""
    assert notebook[kept]["redefined"] == [11, 12, 12]
    assert notebook[kept]["plain"] == [[11, 11], [11, 12]]


def test_cell_that_is_run_again_as_it_was_hits_the_shared_tier_only(notebook):
    """Code is compared, not when or where it was typed; in memory each function has entries of its own."""
    assert notebook["shared"]["as it was"] == [10]
    assert notebook["memory"]["as it was"] == [10, 10]


@pytest.mark.parametrize("kept", ["memory", "shared"])
def test_clears_by_prefix_do_not_see_the_code(notebook, kept):
    """Patterns name a function as before."""
    assert notebook[kept]["cleared"] == [[10], [10]]


def test_module_has_no_code_in_its_keys(monkeypatch):
    """Processes of one program agree on their keys, also while another version of it is rolled out."""
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)

    @Cache(store=MemoryStore()).cache_function(key_prefix="f")
    async def f(n): ...

    assert f.cache_key(1) == "f:1"


SHELL = """\
import asyncio
from asyncfan import Cache
from asyncfan.testing import MemoryStore
cache = Cache(store=MemoryStore())
@cache.cache_function(expire=60, key_prefix="f")
async def f(n): return n + 1

print(asyncio.run(f(10)))
@cache.cache_function(expire=60, key_prefix="f")
async def f(n): return n + 2

print(asyncio.run(f(10)), f.cache_key(10)[:2])
"""


def test_pythons_own_shell_is_one():
    """``python -i`` and its like are recognised by the prompt."""
    assert printed("-i", "-q", input=SHELL).splitlines() == ["11", "12 f~"]


@pytest.fixture(params=["memory", "shared tier"])
def cache(request):
    """A cache with and without a tier, of a script that never closes it."""
    found = Cache(store=MemoryStore() if request.param == "shared tier" else None)
    while found.tier is not None and not found.tier.stats().listening:
        found.tier.listen()  # what is loaded before it hears of others' clears may be loaded again
    return found


SCRIPT = """
import asyncio
from asyncfan import Cache
from asyncfan.testing import MemoryStore

cache = Cache(store=MemoryStore())

@cache.cache_function(expire=60)
async def f(n):
    print("load", n)
    return n + 1

print(asyncio.run(f(1)), asyncio.run(f(1)))
"""


def test_script_need_not_close_its_cache(tmp_path):
    """The end of the process is that of what a shared tier still does: nothing is complained of."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    assert printed(script, stderr=subprocess.STDOUT) == "load 1\n2 2\n"


def test_script_with_several_loops_keeps_its_values(cache):
    """One cache serves each ``asyncio.run`` of a script: values stay, nothing is bound to a loop that has ended."""
    loads = []

    @batched
    async def names(numbers):
        loads.append(sorted(numbers))
        return {number: f"item {number}" for number in numbers}

    @cache.cache_function(expire=60)
    async def f(n):
        return await names(n)

    async def several(*numbers):
        return await asyncio.gather(*map(f, numbers))

    assert asyncio.run(several(1, 1, 2)) == ["item 1", "item 1", "item 2"]
    assert asyncio.run(several(2, 1, 3)) == ["item 2", "item 1", "item 3"]
    cache.clear_prefix(f"{__name__}.test_script_with_several_loops_keeps_its_values.<locals>.f", 1)
    assert asyncio.run(several(1, 2, 3)) == ["item 1", "item 2", "item 3"]
    assert loads == [[1, 2], [3], [1]]


def test_load_that_a_loops_end_has_cancelled_is_made_again(cache):
    """What the first ``asyncio.run`` did not finish, the second one loads anew."""
    loads = []

    @cache.cache_function(expire=60)
    async def f():
        loads.append(1)
        await asyncio.sleep(0 if len(loads) > 1 else 3600)
        return len(loads)

    async def leave():
        task = asyncio.ensure_future(f())
        while not loads:
            await asyncio.sleep(0)
        del task

    asyncio.run(leave())
    assert [asyncio.run(f()), asyncio.run(f())] == [2, 2]


def test_plain_functions_share_their_values_with_each_loop_and_thread(cache):
    """A ``def`` needs no loop: outside of one, inside of several, in threads, it is one cache."""
    loads = []

    @cache.cache_function(expire=60)
    def f(n):
        loads.append(n)
        return n + 1

    async def inside():
        return f(1), await asyncio.to_thread(f, 1)

    assert f(1) == 2
    assert asyncio.run(inside()) == asyncio.run(inside()) == (2, 2)
    thread = threading.Thread(target=f, args=(1,))
    thread.start()
    thread.join()
    assert loads == [1]
