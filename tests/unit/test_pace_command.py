"""`cxone-messaging pace`: what it asks of the stack, what it prints, and its exit codes."""

import io
import json
import sys

import pytest
import requests

from cli import pace
from cli.target import Target, TargetError

PACE = {
    "ceiling": 100,
    "deployedCeiling": 100,
    "pace": 96,
    "perMinute": 6000,
    "holds": 0,
    "circuit": "closed",
    "senders": {},
    "queued": 0,
    "queueSeconds": 0,
}
LOWERED = {**PACE, "ceiling": 20, "pace": 12.5, "perMinute": 1200}
REFUSED = {
    "code": "validation_failed",
    "detail": "nothing was changed",
    "errors": [{"code": "invalid_ceiling", "field": "ceiling", "message": "a ceiling is a number from 0 to 100"}],
}


def answer(status, document):
    made = requests.Response()
    made.status_code = status
    made.raw = io.BytesIO(document if isinstance(document, bytes) else json.dumps(document).encode())
    return made


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def stack(monkeypatch):
    """Give a stack that keeps what it is asked, and gives the answers put there."""

    class Stack:
        name = "prod"
        given = (200, PACE)
        asked = []  # noqa: RUF012

        def call(self, method, path, body=None):
            self.asked.append((method, path, body))
            if isinstance(self.given, Exception):
                raise self.given
            return answer(*self.given)

    made = Stack()
    made.asked = []
    monkeypatch.setattr(Target, "find", lambda name: made)
    return made


@pytest.fixture
def run(capsys):
    def run(*arguments, **options):
        code = pace.run(None, *arguments, **options)
        printed = capsys.readouterr()
        return code, " ".join(printed.out.split()), " ".join(printed.err.split())

    return run


def test_it_shows_the_pace_and_changes_nothing(run, stack):
    code, printed, _ = run()
    assert (code, stack.asked) == (0, [("GET", "/pace", None)])
    assert "pace 96 requests a second" in printed
    assert "ceiling 100 requests a second, as deployed" in printed
    assert "minute 6,000 requests at most hold none circuit closed queue empty" in printed
    assert "senders" not in printed


def test_it_says_what_holds_sending_back(run, stack):
    held = {"heldUntil": "2026-11-22T12:00:01.000Z", "holds": 3, "circuit": "probing"}
    stack.given = (200, {**LOWERED, **held, "queued": 45_000, "queueSeconds": 3_600, "senders": {"+1*": 5}})
    _, printed, _ = run()
    assert "pace 12.5 requests a second" in printed
    assert "ceiling 20 requests a second, set by an operator; 100 are deployed" in printed
    assert "hold until 2026-11-22T12:00:01.000Z, 3 in a row circuit probing" in printed
    assert "queue 45,000 records, 1 h 0 min at this pace" in printed
    assert "senders +1* 5 a second" in printed


@pytest.mark.parametrize(
    ("queued", "seconds", "found"),
    [
        (None, None, "its length is unknown"),
        (1, None, "1 record, and none is sent"),
        (7, 1, "7 records, 1 s at this pace"),
        (7000, 75, "7,000 records, 1 min 15 s at this pace"),
    ],
)
def test_the_queue_in_words(run, stack, queued, seconds, found):
    stack.given = (200, {**PACE, "queued": queued, "queueSeconds": seconds})
    assert f"queue {found}" in run()[1]


def test_yes_sets_the_ceiling_without_a_question(run, stack):
    stack.given = (200, LOWERED)
    code, printed, _ = run(20.0, yes=True)
    assert (code, stack.asked) == (0, [("PUT", "/pace", {"ceiling": 20.0})])
    assert printed.endswith("the ceiling is 20 requests a second")


def test_a_stop_is_called_a_stop(run, stack):
    stack.given = (200, {**PACE, "ceiling": 0, "pace": 0, "perMinute": 0})
    _, printed, _ = run(0.0, yes=True)
    assert "pace nothing is sent" in printed
    assert printed.endswith("all sending is stopped")


@pytest.mark.parametrize("options", [{}, {"as_json": True}])
def test_without_a_terminal_nobody_is_asked_and_nothing_is_set(run, stack, options):
    code, printed, errors = run(20.0, **options)
    assert (code, printed, stack.asked) == (1, "", [])
    assert "--yes" in errors


@pytest.mark.parametrize(("typed", "code"), [("y", 0), ("Yes ", 0), ("", 1), ("n", 1), ("yess", 1)])
def test_at_a_terminal_it_asks(run, stack, monkeypatch, typed, code):
    questions = []
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setattr("builtins.input", lambda question: questions.append(question) or typed)
    assert run(0.0)[0] == code
    assert questions == ["prod: stop all sending? [y/N] "]
    assert len(stack.asked) == (code == 0)


def test_json_is_the_apis_document(run, stack):
    code, printed, _ = run(as_json=True)
    assert (code, json.loads(printed)) == (0, PACE)


def test_a_refusal_is_told_in_the_apis_words(run, stack):
    stack.given = (422, REFUSED)
    code, printed, errors = run(200.0, yes=True)
    assert (code, printed) == (1, "")
    assert "422: a ceiling is a number from 0 to 100" in errors


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ((403, {"message": "Missing Authentication Token"}), "403: Missing Authentication Token"),
        ((500, {"code": "internal_error", "detail": "the error is in the log", "errors": []}), "500: the error is"),
        ((502, b"<html>"), "502: no reason"),
        ((200, []), "200: no reason"),
        (requests.ConnectionError("nobody there"), "nobody there"),
        (TargetError("there is no such stack"), "there is no such stack"),
    ],
)
def test_without_an_answer_nothing_is_known(run, stack, given, found):
    stack.given = given
    code, printed, errors = run()
    assert (code, printed, found in errors) == (3, "", True), errors


def test_an_interruption_has_its_code(run, stack):
    stack.call = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    assert run()[0] == 130
