"""The command `cxone-messaging`: what it says of itself, and how it is called."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from cli import app, invoke
from cli.audit import command as audit
from cli.campaign import command as campaign
from cli.campaign.plan import BATCH_MESSAGES, MAXIMUM_BATCH_MESSAGES
from cli.restore import command as restore
from local.options import ROOT

CODES = {
    "campaign": {0, 1, 2, 3, 130},
    "audit": {0, 1, 2, 3, 130},
    "invoke": {0, 1, 2},
    "doctor": {0, 1, 2, 130},
    "pace": {0, 1, 2, 3, 130},
    "smoke": {0, 1, 2, 130},
    "restore": {0, 1, 2, 3, 130},
    "subscribe": {0, 1, 2, 3, 130},
}


def help_of(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["cxone-messaging", *arguments, "--help"])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code in {0, None}
    return capsys.readouterr().out


def test_each_subcommand_tells_its_exit_codes(monkeypatch, capsys):
    overview = help_of(monkeypatch, capsys)
    for name, codes in CODES.items():
        assert f" {name} " in overview
        told = help_of(monkeypatch, capsys, name).partition("Exit codes: ")[2]
        assert {int(word.strip(",;")) for word in told.split() if word.strip(",;").isdigit()} == codes


def test_help_and_completion_import_nothing_slow():
    slow = ("boto3", "requests", "phonenumbers", "cli.campaign.command", "cli.audit.command", "cli.restore.command")
    code = f"import cli.app, sys; assert not {slow} & sys.modules.keys()".replace("not (", "not {").replace(
        ") &", "} &"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)  # noqa: S603


@pytest.fixture
def called(monkeypatch):
    """Run a command line; gives what its subcommand was asked."""

    def called(*arguments):
        asked = []
        for module in (audit, campaign, restore):
            monkeypatch.setattr(module, "run", lambda options: asked.append(options) or 0)
        run = lambda event, stack, as_json: asked.append(SimpleNamespace(stack=stack, as_json=as_json)) or 0  # noqa: E731
        monkeypatch.setattr(invoke, "run", run)
        monkeypatch.setattr(sys, "argv", ["cxone-messaging", *arguments])
        with pytest.raises(SystemExit) as ended:
            app.main()
        return ended.value.code, asked

    return called


@pytest.mark.parametrize("subcommand", [["audit"], ["campaign", "people.csv"], ["invoke", "event.json"], ["restore"]])
def test_the_stack_may_be_named_before_and_after_the_subcommand(called, subcommand):
    for arguments, stack, as_json in (
        (subcommand, None, False),
        (["--stack", "a", *subcommand], "a", False),
        (["--json", *subcommand, "--stack", "a"], "a", True),
        (["--stack", "a", *subcommand, "--stack", "b", "--json"], "b", True),
    ):
        _, (asked,) = called(*arguments)
        assert (asked.stack, asked.as_json) == (stack, as_json)


def test_a_campaigns_name_is_its_files_where_none_is_given(called):
    _, (asked,) = called("campaign", "folder/spring.csv")
    assert (asked.name, asked.batch_size) == ("spring", BATCH_MESSAGES)


@pytest.mark.parametrize(
    "flags", [["--batch-size", "0"], ["--batch-size", str(MAXIMUM_BATCH_MESSAGES + 1)], ["--name", ""]]
)
def test_what_makes_no_sense_is_wrong_usage(called, capsys, flags):
    assert called("campaign", "people.csv", *flags) == (2, [])
    assert flags[0] in capsys.readouterr().err
