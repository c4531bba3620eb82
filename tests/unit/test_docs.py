"""`make docs` shows docs/openapi.yaml, and asks nobody but itself for anything."""

import re

import pytest

from local.docs import application
from local.options import ROOT


@pytest.fixture
def browser():
    return application().test_client()


def test_the_description_is_the_file(browser):
    assert browser.get("/openapi.yaml").text == (ROOT / "docs" / "openapi.yaml").read_text()


def test_the_page_shows_it_with_what_is_served_here(browser):
    page = browser.get("/", follow_redirects=True)
    assert page.request.path == "/docs/"
    assert '"/openapi.yaml"' in page.text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert [each for each in loaded if each.endswith((".js", ".css"))]
    assert {browser.get(each).status_code for each in loaded} == {200}
    assert "http" not in " ".join(loaded)
