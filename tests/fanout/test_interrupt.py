"""An item that raises what no handler catches ends the call, and nothing outlives it."""

import asyncio

import pytest

from asyncfan import amap


@pytest.mark.parametrize("position", [0, 1, 5, 9])
async def test_item_that_raises_generator_exit_leaves_no_sibling(position):
    """Wherever the item runs, in the caller's own task too, its siblings are cancelled and awaited first."""
    alive = set()

    async def item(x):
        alive.add(x)
        try:
            await asyncio.sleep(1)
            if x == position:
                raise GeneratorExit
            await asyncio.sleep(100)
        finally:
            alive.discard(x)

    with pytest.raises(GeneratorExit):
        await amap(item, range(10), max_workers=10)
    assert not alive
    assert asyncio.get_running_loop().time() < 2
