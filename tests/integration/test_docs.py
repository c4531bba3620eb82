"""`make docs` shows docs/openapi.yaml, and asks nobody but itself for anything."""

import os
import re
import sys

import pytest
import requests

from local.options import ROOT
from local.processes import Servers, free_port


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    servers, port = Servers(tmp_path_factory.mktemp("docs")), free_port()
    servers.start("docs", [sys.executable, "-m", "local.docs"], {**os.environ, "DOCS_PORT": str(port)}, port, ROOT)
    yield f"http://127.0.0.1:{port}"
    servers.stop()


@pytest.fixture
def get(address):
    session = requests.Session()
    session.trust_env = False
    return lambda path: session.get(address + path, timeout=20)


def test_the_description_is_the_file(get):
    assert get("/openapi.yaml").content == (ROOT / "docs" / "openapi.yaml").read_bytes()


def test_the_page_shows_it_with_what_is_served_here(get):
    page = get("/")
    assert page.url.endswith("/docs/")
    assert '"/openapi.yaml"' in page.text
    loaded = [each for each in re.findall(r'(?:src|href)="([^"]+)"', page.text) if each != "data:,"]
    assert [each for each in loaded if each.endswith((".js", ".css"))]
    assert {get(each).status_code for each in loaded} == {200}
    assert "http" not in " ".join(loaded)
