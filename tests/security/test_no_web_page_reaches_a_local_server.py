"""A hostile web page, in a real browser, can neither read from nor write to any server that a developer starts here.

The browser is Chromium (Debian's package `chromium`), which speaks to 127.0.0.1 alone.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests

from cli.target import aws_client
from local import stand_ins
from local.options import ROOT
from local.processes import Servers, free_port

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on PATH (Debian's package chromium)")

PAGE = (Path(__file__).parent / "hostile.html").read_text("utf-8")
SECRET = "a-secret-that-no-page-may-read"
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable",
    # evil.test is a name of the attacker's that leads here, as with DNS rebinding; no other name is looked up at all.
    "--host-resolver-rules=MAP evil.test 127.0.0.1, MAP localhost 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--no-proxy-server",
)
# Each way of the page that gets a request to a server which refuses nobody.
WAYS = {
    *("fetch", "fetch-credentials", "fetch-no-cors", "fetch-no-referrer", "redirect", "script", "img", "link"),
    *("iframe", "preflight", "simple", "simple-no-cors", "redirected-post", "form-text", "form", "sandboxed"),
    *("beacon", "web-socket"),
}


class Hostile(BaseHTTPRequestHandler):
    """The attacker's own server: its page, a redirection to wherever it likes, and what the page read elsewhere."""

    server: "HostileServer"

    def do_GET(self):
        parts = urlsplit(self.path)
        if parts.path == "/bounce":
            self.answer(307, b"", {"Location": unquote(parts.query.partition("to=")[2])})
        else:
            page = PAGE.replace("/*TARGETS*/[]", json.dumps(self.server.targets))
            self.answer(200, page.encode(), {"Content-Type": "text/html"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/result":
            self.server.read = json.loads(body)
            self.server.is_done.set()
            self.answer(200, b"")
        else:
            self.do_GET()

    def answer(self, status, body, headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Open(Hostile):
    """A server that refuses nobody, and records each request: it shows that the page does what it is said to do."""

    def do_GET(self):
        self.server.ways |= set(parse_qs(urlsplit(self.path).query).get("way", []))
        open_ = {"Access-Control-Allow-Origin": self.headers.get("Origin") or "*", "Access-Control-Allow-Headers": "*"}
        self.answer(200, b"open", {**open_, "Access-Control-Allow-Methods": "*", "Content-Type": "text/plain"})

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.do_GET()

    do_OPTIONS = do_PUT = do_POST  # noqa: N815  names that http.server prescribes


class HostileServer(ThreadingHTTPServer):
    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.targets = []
        self.read = None
        self.is_done = threading.Event()
        self.ways = set()


@contextlib.contextmanager
def serving(handler):
    server = HostileServer(handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def ports(tmp_path_factory):
    """Run an emulator with a secret in it, a simulator and the docs page; gives their ports."""
    folder = tmp_path_factory.mktemp("servers")
    servers = Servers(folder)
    found = {name: free_port() for name in ("emulator", "simulator", "docs")}
    try:
        stand_ins.start_emulator(servers, found["emulator"], folder)
        stand_ins.start_simulator(servers, found["simulator"])
        environment = {**os.environ, "DOCS_PORT": str(found["docs"])}
        servers.start("docs", [sys.executable, "-m", "local.docs"], environment, found["docs"], ROOT)
        aws(found, "secretsmanager").create_secret(Name="credentials", SecretString=SECRET)
        yield found
    finally:
        servers.stop()


def aws(ports, service):
    return aws_client(service, f"http://127.0.0.1:{ports['emulator']}", stand_ins.REGION)


def attacks(ports, host):
    """Give what the page tries at each server, which it calls by a name."""
    secret = {"X-Amz-Target": "secretsmanager.GetSecretValue", "Content-Type": "application/x-amz-json-1.1"}
    function = {
        "FunctionName": "pwned",
        "Runtime": "python3.13",
        "Handler": "a.b",
        "Role": "r",
        "Code": {"ZipFile": ""},
    }
    by_server = {
        "emulator": (
            ["/_ministack/health", "/?Action=CreateTopic&Name=pwned&Version=2010-03-31", "/?Action=ListQueues"],
            [
                {"path": "/", "body": '{"SecretId": "credentials"}', "headers": secret},
                {"path": "/2015-03-31/functions", "body": json.dumps(function)},
                {"path": "/", "body": "Action=CreateQueue&QueueName=pwned&Version=2012-11-05"},
                {"path": "/pwned", "body": "", "method": "PUT"},
                {"path": "/_ministack/reset", "body": ""},
            ],
        ),
        "simulator": (
            ["/_simulator/messages", "/_simulator/settings"],
            [
                {"path": "/_simulator/settings", "body": '{"requests_per_second": 1}', "method": "PUT"},
                {"path": "/_simulator/faults", "body": '{"action": "status", "status": 503, "times": "forever"}'},
                {"path": "/_simulator/templates/pwned", "body": '{"name": "pwned"}'},
            ],
        ),
        "docs": (["/openapi.yaml", "/docs/"], [{"path": "/", "body": "a=b"}]),
        "open": (["/open"], [{"path": "/open", "body": "a=b", "headers": {"X-Any": "a"}}]),
    }
    return [
        {"name": name, "base": f"http://{host}:{ports[name]}", "reads": reads, "writes": writes}
        for name, (reads, writes) in by_server.items()
    ]


@contextlib.contextmanager
def browser(folder, *arguments, **pipes):
    """Run Chromium with a profile of its own, and end all of its processes."""
    command = [CHROMIUM, *OPTIONS, f"--user-data-dir={folder / 'profile'}", *arguments]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **pipes}
    process = subprocess.Popen(command, start_new_session=True, **quiet)  # noqa: S603
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def state(ports):
    """Give all that a page could have changed."""
    simulator = f"http://127.0.0.1:{ports['simulator']}/_simulator"
    return {
        "secret": aws(ports, "secretsmanager").get_secret_value(SecretId="credentials")["SecretString"],
        "functions": [each["FunctionName"] for each in aws(ports, "lambda").list_functions()["Functions"]],
        "queues": aws(ports, "sqs").list_queues().get("QueueUrls", []),
        "topics": aws(ports, "sns").list_topics()["Topics"],
        "buckets": aws(ports, "s3").list_buckets()["Buckets"],
        "settings": requests.get(f"{simulator}/settings", timeout=20).json(),
        "faults": requests.get(f"{simulator}/faults", timeout=20).json(),
        "log": requests.get(f"{simulator}/log", timeout=20).json(),
    }


@pytest.mark.parametrize(
    ("page_host", "target_host"),
    [
        ("127.0.0.1", "127.0.0.1"),  # of the same site, on another port
        ("localhost", "127.0.0.1"),
        ("127.0.0.1", "localhost"),
        ("evil.test", "127.0.0.1"),
        ("evil.test", "evil.test"),
    ],
)
def test_a_page_reads_nothing_and_changes_nothing(ports, tmp_path, page_host, target_host):
    before = state(ports)
    with serving(Hostile) as hostile, serving(Open) as open_:
        hostile.targets = attacks({**ports, "open": open_.server_port}, target_host)
        with browser(tmp_path, f"http://{page_host}:{hostile.server_port}/"):
            assert hostile.is_done.wait(120), "the page did not finish"
        assert open_.ways >= WAYS, "the page did not try all that it should"
        read_elsewhere = [each for each in hostile.read if each["target"] != "open"]
        assert [each for each in hostile.read if each["target"] == "open"]
    assert read_elsewhere == []
    assert state(ports) == before


@pytest.mark.parametrize(
    ("server", "path"),
    [("emulator", "/_ministack/health"), ("simulator", "/_simulator/settings"), ("docs", "/openapi.yaml")],
)
def test_a_rebound_name_is_no_way_in(ports, tmp_path, server, path):
    """A page whose name leads to 127.0.0.1 by now is of the server's own origin: all that gives it away is the name."""
    address = f"http://evil.test:{ports[server]}{path}"
    with browser(tmp_path, "--dump-dom", address, stdout=subprocess.PIPE, text=True) as process:
        shown, _ = process.communicate(timeout=60)
    assert "Host must be" in shown


def test_a_person_may_open_the_docs_page(ports, tmp_path):
    address = f"http://localhost:{ports['docs']}/"
    options = ("--dump-dom", "--virtual-time-budget=10000")
    with browser(tmp_path, *options, address, stdout=subprocess.PIPE, text=True) as process:
        shown, _ = process.communicate(timeout=60)
    assert "POST" in shown
    assert "/messages/bulk" in shown
