"""What belongs to one request ends with it, and what its middleware says of it is in its key, in every framework."""

import socket
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from test_conformance import client, site, until  # noqa: F401 - fixtures

pytestmark = pytest.mark.real_time


def test_tenant_of_the_frameworks_middleware_is_part_of_the_key(client, site):  # noqa: F811
    """What a middleware declares in scope(tenant=...) keeps tenants apart."""
    for tenant in ("acme", "other", "acme"):
        client.get("/item/3", headers={"X-Tenant": tenant})
    assert site.calls["item"] == 2


def test_loader_is_asked_once_a_request(client, site):  # noqa: F811
    """Inside of one request's scope each key is loaded once; the next request's loads are its own."""
    for _ in range(2):
        assert client.get("/loaded").text == "['row 1', 'row 2', 'row 1'] row 1"
    assert site.batches == [[1, 2], [1, 2]]


def test_fan_out_is_cancelled_with_its_client(client, site):  # noqa: F811
    """Where a client's end cancels the handler, what its fan-out has started is cancelled too."""
    host, port = client.base_url.host, client.base_url.port
    with socket.create_connection((host, port)) as gone:
        gone.sendall(f"GET /fan HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        until(lambda: site.calls["fan"] == 1)
    until(lambda: sorted(site.ended) == [0, 1, 2])
