"""The version: in one place, and shown by all that has it."""

import subprocess
import sys
import tomllib
from importlib.metadata import version

import pytest
import requests

from cli import app
from cxone_messaging import __version__
from cxone_messaging.adapters.cxone.http import CxoneSession
from cxone_messaging.platform.clock import SystemClock
from cxone_messaging.platform.version_event import VERSION_EVENT
from local.options import ROOT
from tests import functions


def test_it_is_in_one_place_and_installed_as_such():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert ("version" in project, project["dynamic"]) == (False, ["version"])
    assert version("cxone-messaging") == __version__


@pytest.mark.parametrize("arguments", [["--version"], ["--version", "doctor"]])
def test_the_command_line_prints_it(monkeypatch, capsys, arguments):
    monkeypatch.setattr(sys, "argv", ["cxone-messaging", *arguments])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code in {0, None}
    assert capsys.readouterr().out == f"cxone-messaging {__version__}\n"


@pytest.mark.parametrize("name", functions.NAMES)
def test_each_function_answers_the_version_event_and_does_nothing_for_it(monkeypatch, name):
    """It reads no setting, calls nobody, and needs no context."""
    for variable in ("LEDGER_TABLE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable, raising=False)
    assert functions.module(name).handler(VERSION_EVENT, None) == {"version": __version__}


def test_requests_to_cxone_name_it():
    sent = []

    class Refuses(requests.adapters.BaseAdapter):
        def send(self, request, *args, **options):
            sent.append(request.headers["User-Agent"])
            raise requests.ConnectionError

    session = CxoneSession(SystemClock())
    session.mount("https://", Refuses())
    with pytest.raises(requests.ConnectionError):
        session.exchange("https://cxone.test", {}, {}, 1.0, must_read=())
    assert sent == [f"cxone-messaging/{__version__}"]


def test_the_command_line_runs_with_what_is_installed_with_it():
    """`uv tool install .` installs no pydantic, which functions alone need."""
    code = (
        "import sys; sys.modules['pydantic'] = None\n"
        "import cli.doctor.command, cli.smoke, cli.audit.command, cli.campaign.command, cli.invoke"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)  # noqa: S603
