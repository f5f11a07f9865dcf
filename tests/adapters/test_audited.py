"""With audit=True, each framework's requests tell of what a handler reads of them."""

import sys
import warnings
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from test_conformance import PLACES, client  # noqa: F401 - a fixture

pytestmark = pytest.mark.real_time


@pytest.fixture(params=["aiohttp", "blacksheep", "django", "falcon", "litestar", "quart", "sanic", "tornado"])
def site(request):
    """Return the endpoints in one framework."""
    return PLACES[request.param]()


def test_handler_that_reads_beyond_its_key_is_told(client, site):  # noqa: F811
    """A header that is in no key is named, once; one that is in the key is not."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        texts = [client.get("/audited", headers={"X-Color": "red", "Authorization": str(i)}).text for i in range(2)]
    assert texts == ["red, 0", "red, 1"]
    told = [str(warning.message) for warning in caught if "audited" in str(warning.message)]
    assert len(told) == 1
    assert told[0].lower().endswith("write @cache_response(vary=('x-color',))")
