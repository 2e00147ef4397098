"""Under which names the app is served: its own and those configured, whatever Origin comes with a foreign one."""

from __future__ import annotations

import base64
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from benchmarks.session import session
from tools.browser import running_app

PATHS = ("/", "/circuits", "/_stcore/health", "/media/0123.csv", "/_stcore/upload_file/a/b")
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(b"0123456789abcdef").decode(),
    "Sec-WebSocket-Protocol": "streamlit",
}


def status(address: str, path: str, host: str | None, **headers: str) -> int:
    """What the app at `address` answers to a request that calls it `host`; "PORT" in it is the app's."""
    port = urlsplit(address).port
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest("GET", path, skip_host=True)
    if host is not None:
        connection.putheader("Host", host.replace("PORT", str(port)))
    for name, value in headers.items():
        connection.putheader(name, value.replace("PORT", str(port)))
    connection.endheaders()
    try:
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["localhost:PORT", "127.0.0.1:PORT", "[::1]:PORT", "LOCALHOST", "localhost."])
def test_its_own_names_are_served(address: str, host: str) -> None:
    assert [status(address, path, host) for path in PATHS[:3]] == [200, 200, 200]
    assert status(address, "/_stcore/stream", host, **UPGRADE, Origin=f"http://{host}") == 101
    assert status(address, "/_stcore/stream", host, **UPGRADE, Origin="http://evil.example") == 403


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:PORT",
        "evil.example",
        "localhost.evil.example:PORT",
        "localhost@evil.example",
        "evil.example#localhost",
        "192.168.0.7:PORT",
        "[::ffff:7f00:1]:PORT",
        "",
    ],
)
def test_a_foreign_name_is_refused_though_its_origin_agrees(address: str, host: str) -> None:
    assert [status(address, path, host) for path in PATHS] == [403] * len(PATHS)
    for origin in ({}, {"Origin": f"http://{host}"}, {"Origin": "http://localhost:PORT"}):
        assert status(address, "/_stcore/stream", host, **UPGRADE, **origin) == 403


def test_a_request_that_names_no_host_is_refused(address: str) -> None:
    assert {status(address, path, None) for path in PATHS} <= {400, 403}
    assert status(address, "/_stcore/stream", None, **UPGRADE) in (400, 403)


def test_a_configured_name_is_served_and_a_session_runs(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("hosts")
    told = {
        "CIRCUITS_CACHE": str(folder),
        "STREAMLIT_SERVER_ALLOWED_HOSTS": "circuits.example 127.0.0.1",
    }
    with running_app(told) as address:
        assert status(address, "/", "circuits.example") == 200
        assert status(address, "/_stcore/stream", "circuits.example", **UPGRADE) == 101
        assert status(address, "/", "localhost:PORT") == 403
        with session(address, "", "") as reader:
            reader.open()
            assert reader.size > 10_000 and reader.errors == []
