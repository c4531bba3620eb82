"""No server that a developer starts here answers another web page; every program that calls it is answered."""

import itertools
import os
import socket
import sys

import pytest
import requests

from local import stand_ins
from local.guard import refusal
from local.options import ROOT
from local.processes import Servers, free_port

PORT = 4566
OWN_HOSTS = ["127.0.0.1:{port}", "localhost:{port}", "LocalHost:{port}", "[::1]:{port}"]
FOREIGN_HOSTS = [
    "evil.test:{port}",
    "evil.test",
    "127.0.0.1",
    "127.0.0.1:1",
    "localhost.evil.test:{port}",
    "127.0.0.1.evil.test:{port}",
    "127.0.0.1:{port}.evil.test",
    "evil.test@127.0.0.1:{port}",
    "0.0.0.0:{port}",
    "127.1:{port}",
    "2130706433:{port}",
    "bucket.localhost:{port}",
    "localhost.:{port}",
    "127.0.0.1:{port}, evil.test",
    "",
]
FOREIGN_ORIGINS = [
    "http://evil.test",
    "https://evil.test",
    "null",
    "",
    "http://127.0.0.1",
    "http://127.0.0.1:1",
    "https://127.0.0.1:{port}",
    "http://127.0.0.1:{port}.evil.test",
    "http://127.0.0.1:{port}/",
    "http://127.0.0.1:{port} http://evil.test",
    "file://",
    "chrome-extension://abc",
]
FOREIGN_SITES = ["cross-site", "same-site", "", "anything"]


def headers_of(host, origin, site, port):
    named = (("Host", host), ("Origin", origin), ("Sec-Fetch-Site", site))
    return [(name, value.format(port=port)) for name, value in named if value is not None]


@pytest.mark.parametrize("host", OWN_HOSTS)
@pytest.mark.parametrize("site", [None, "none", "same-origin"])
def test_a_program_and_the_servers_own_page_may_pass(host, site):
    assert refusal(headers_of(host, None, site, PORT), PORT) is None
    assert refusal(headers_of(host, f"http://{host}", site, PORT), PORT) is None


def test_one_foreign_header_is_enough_whatever_the_others_are():
    hosts = [(each, True) for each in OWN_HOSTS] + [(each, False) for each in FOREIGN_HOSTS]
    origins = [(None, True), ("http://127.0.0.1:{port}", True), *((each, False) for each in FOREIGN_ORIGINS)]
    sites = [(each, True) for each in (None, "none", "same-origin")] + [(each, False) for each in FOREIGN_SITES]
    for (host, own_host), (origin, own_origin), (site, own_site) in itertools.product(hosts, origins, sites):
        passes = own_host and own_origin and own_site and (origin is None or host == "127.0.0.1:{port}")
        assert (refusal(headers_of(host, origin, site, PORT), PORT) is None) == passes, (host, origin, site)


@pytest.mark.parametrize("name", ["host", "ORIGIN", "Sec-Fetch-Site"])
def test_a_header_that_comes_twice_is_no_way_around(name):
    own = {"host": "127.0.0.1:4566", "origin": "http://127.0.0.1:4566", "sec-fetch-site": "none"}
    foreign = {"host": "evil.test", "origin": "http://evil.test", "sec-fetch-site": "cross-site"}[name.lower()]
    for order in (1, -1):
        twice = [(name, own[name.lower()]), (name, foreign)][::order]
        assert refusal([*((other, value) for other, value in own.items() if other != name.lower()), *twice], PORT)


def test_the_default_port_may_be_left_out():
    assert refusal([("Host", "localhost")], 80) is None
    assert refusal([("Host", "localhost")], PORT) is not None


@pytest.fixture(scope="module")
def servers(tmp_path_factory, emulator):
    """Run all that a developer starts; gives each one's port, and a path that it answers with 200."""
    folder = tmp_path_factory.mktemp("servers")
    started = Servers(folder)
    docs, simulator = free_port(), free_port()
    try:
        stand_ins.start_simulator(started, simulator)
        started.start("docs", [sys.executable, "-m", "local.docs"], {**os.environ, "DOCS_PORT": str(docs)}, docs, ROOT)
        yield {
            "emulator": (int(emulator.rpartition(":")[2]), "/_ministack/health"),
            "simulator": (simulator, "/_simulator/health"),
            "docs": (docs, "/openapi.yaml"),
        }
    finally:
        started.stop()


@pytest.fixture(params=["emulator", "simulator", "docs"])
def server(servers, request):
    return servers[request.param]


def status(port, path, headers, method="GET"):
    """Send just these headers, and give the status."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "Connection: close"]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(connection.makefile("rb").readline().split()[1])


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_each_server_answers_programs(server, host):
    port, path = server
    assert status(port, path, headers_of(host, None, None, port)) == 200
    assert status(port, path, headers_of(host, f"http://{host}".lower(), "same-origin", port)) == 200


@pytest.mark.parametrize(
    ("host", "origin", "site"),
    [
        *((host, None, None) for host in FOREIGN_HOSTS if host),
        *(("127.0.0.1:{port}", origin, None) for origin in FOREIGN_ORIGINS),
        *(("localhost:{port}", None, site) for site in FOREIGN_SITES),
        ("localhost:{port}", "http://127.0.0.1:{port}", None),
    ],
)
def test_each_server_refuses_pages(server, host, origin, site):
    port, path = server
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"):
        assert status(port, path, headers_of(host, origin, site, port), method) in {400, 403}, method


def test_each_server_refuses_a_request_without_a_host(server):
    port, path = server
    assert status(port, path, []) in {400, 403}


def test_the_emulator_refuses_a_pages_web_socket(servers):
    port, _ = servers["emulator"]
    handshake = [
        ("Host", f"127.0.0.1:{port}"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Origin", "http://evil.test"),
    ]
    assert status(port, "/_aws/execute-api/api/stage", handshake) == 403


def test_a_refusal_is_readable_by_nobody_and_says_why(server):
    port, path = server
    answer = requests.get(f"http://127.0.0.1:{port}{path}", headers={"Origin": "http://evil.test"}, timeout=20)
    assert answer.status_code == 403
    assert "another origin" in answer.text
    assert "evil.test" not in answer.text
    assert not {name for name in answer.headers if name.lower().startswith("access-control-")}
