"""`make campaign`, interrupted and continued, against the deployed stack."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from local.options import ROOT
from tests.e2e.conftest import CAMPAIGN

PEOPLE = [f"+1202555{number}" for number in range(4000, 4040)]
STRANGER = "+12025554999"
LATECOMER = "+12025554100"
WORDS = "your table is ready"


@pytest.fixture(scope="module")
def command(client, stack_folder, tmp_path_factory):
    """Opt everybody in but one, and write the file as a spreadsheet would."""
    for number in PEOPLE:
        assert client.opt_in(number).status_code == 200
    rows = ["\ufeffTo;Name", *(f"{number};Guest {number[-2:]}" for number in PEOPLE)]
    rows[20:20] = ["", "+1555;Typo", f"{STRANGER};Stranger", rows[1]]
    file = tmp_path_factory.mktemp("campaign") / "people.csv"
    file.write_text("\r\n".join(rows), encoding="utf-8")
    arguments = ["--text", f"Dear {{name}}, {WORDS}.", "--campaign-id", CAMPAIGN, "--batch-size", "15"]
    return [sys.executable, "-m", "cli", "campaign", str(file), "--stack", str(stack_folder / "stack.json"), *arguments]


def started(command, **streams):
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(  # noqa: S603
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, **streams
    )


def taken(client):
    return [each["to"] for each in client.taken() if WORDS in each["text"]]


def test_it_is_previewed_then_interrupted_then_continued_and_nothing_is_sent_twice(client, command):
    with started(command) as previewing:
        output = previewing.stdout.read()
    assert previewing.returncode == 0, output
    assert "43 rows, 41 messages to send" in output
    for told in ("invalid_recipient", "duplicate", "not_opted_in", "+*******4999", "previewed only"):
        assert told in output
    assert taken(client) == []

    with started([*command, "--yes"], stderr=subprocess.PIPE) as interrupted:
        output = ""
        while "submitted 15 of" not in output:
            line = interrupted.stdout.readline()
            assert line, output
            output += line
        interrupted.send_signal(signal.SIGINT)
        rest, errors = interrupted.communicate()
    assert interrupted.returncode == 130, output + rest
    assert "To continue, run the same command again" in errors

    with started([*command, "--yes"]) as continued:
        output = continued.stdout.read()
    assert continued.returncode == 0, output
    assert "as in an earlier run" in output
    assert "every message is final: 40 delivered" in output
    assert Counter(taken(client)) == Counter(PEOPLE)
    assert not any(number.removeprefix("+") in output for number in [*PEOPLE, STRANGER])


def test_a_mended_file_sends_what_is_new_and_ends_though_the_others_were_sent_by_earlier_batches(client, command):
    assert client.opt_in(LATECOMER).status_code == 200
    file = Path(command[4])
    head, *rows = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\r\n".join([head, f"{LATECOMER};Guest", *rows]), encoding="utf-8")
    with started([*command, "--yes"]) as mended:
        output = mended.stdout.read()
    assert mended.returncode == 0, output
    assert "every message is final: 41 delivered" in output
    assert "as in an earlier run" not in output
    assert Counter(taken(client)) == Counter([*PEOPLE, LATECOMER])
