"""What stands in a ledger is shown and exported, and never obeyed: by a terminal, by rich, or by a spreadsheet."""

import csv
import io
import json
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cli.audit.chains import Stored
from cli.audit.export import Export
from cli.audit.faults import Fault, Kind, chain_faults
from cli.plain import cell, visible
from cli.progress import Progress
from cxone_messaging.domain.entries import Entry, EntryType

HOSTILE = {
    "a green tick": "message#1\x1b[2K\r\x1b[32m✓ the ledger holds\x1b[0m",
    "a title": "message#1\x1b]0;the ledger holds\x07",
    "8-bit escapes": "message#1\x9b32mthe ledger holds",
    "a line of its own": "message#1\nthe ledger holds",
    "other line ends": "message#1\r\x0b\x0c\x85\u2028\u2029the ledger holds",
    "backspaces": "message#1" + "\b" * 9 + "holds",
    "bidi": "message#\u202e1\u2066\u200f\u061c",
    "invisible": "message#1\u200b\ufeff\u00ad\U000e0041",
    "markup": "message#1[bold green]✓[/] [link=http://evil.test]holds[/link]",
    "half a pair": "message#\ud800",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("field", ["subject", "detail"])
@pytest.mark.parametrize("stream", ["finding", "error"])
def test_a_fault_is_one_line_of_what_can_be_seen(text, field, stream):
    fault = replace(Fault("message#1", 1, Kind.CHANGED, "detail"), **{field: text})
    shown = io.StringIO()
    progress = Progress()
    progress.console = progress.errors = Console(file=shown, force_terminal=True, highlight=False, width=400)
    getattr(progress, stream)(str(fault))
    line = shown.getvalue().removeprefix("\x1b[31m").removesuffix("\x1b[0m\n")
    assert not [each for each in line if unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
    assert "[bold green]" not in text or "[bold green]" in line


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_step_shows_a_text_as_it_is_written(text):
    shown = io.StringIO()
    progress = Progress()
    progress.console = Console(file=shown, force_terminal=False, highlight=False, width=400)
    with progress.step(f"reading {text}", f"read {text}"):
        pass
    said = shown.getvalue()
    assert not [each for each in said if each != "\n" and unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
    assert "[bold green]" not in text or "[bold green]" in said


@given(st.text())
def test_whatever_is_made_visible_has_nothing_hidden(text):
    assert not [each for each in visible(text) if unicodedata.category(each) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl"}]


def test_what_can_be_seen_stays_as_it_is():
    text = "message#Grüße — 東京 ✓ [1] \\n"
    assert visible(text) == text
    assert visible("a\nb", lines=True) == "a\nb"


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", '=HYPERLINK("http://evil.test")', "\uff1d1"]


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_exported_cell_is_a_formula(formula):
    entry = Entry.following(
        None, subject=formula, type=EntryType.DELIVERY, timestamp="2026-11-22T12:00:00.000Z", data={"status": formula}
    )
    forged = replace(entry, type=formula, timestamp=formula, hash=formula, previous_hash=formula)
    entries, lines, faults = io.StringIO(newline=""), io.StringIO(), io.StringIO(newline="")
    export = Export(entries, lines, faults)
    export.add([Stored(forged.attributes(), forged)], chain_faults(formula, [forged]))
    export.add_faults([Fault(formula, None, Kind.CHANGED, formula)])
    for file in (entries, faults):
        (_, *rows) = csv.reader(io.StringIO(file.getvalue(), newline=""))
        assert rows
        for each in (value for row in rows for value in row):
            assert not each.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"))
    assert json.loads(lines.getvalue()) == forged.attributes()  # as stored: nobody calculates with JSON Lines


def test_only_a_formula_gets_an_apostrophe():
    assert [cell(each) for each in ("message#1", "", '{"a":1}', "'=1")] == ["message#1", "", '{"a":1}', "'=1"]
