import io
import json
import threading
from contextlib import suppress

import pytest
import requests
from rich.console import Console

from cli.campaign.people import CampaignError, People
from cli.campaign.plan import Campaign, Refused
from cli.campaign.preview import LOOKED_UP, duration, look_at, look_up, show
from cli.campaign.skipped_rows import skipped_rows
from cli.status_bar import StatusBar, as_text


@pytest.fixture
def preview(tmp_path):
    """Look at a file of some lines; gives the preview and what was refused."""

    def make(*lines, text="Dear {name}"):
        path = tmp_path / "people.csv"
        path.write_text("\n".join(lines))
        refused = []
        return look_at(Campaign(name="spring", people=People(path), text=text).rows(), refused.append), refused

    return make


class Api:
    """Answers previews: by number, the codes of the errors, or what was sent before, or an HTTP status."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []
        self._lock = threading.Lock()

    def call(self, method, path, body=None, headers=None):
        with self._lock:
            self.asked.append((method, path, body))
        given = self.answers.get(body["to"], {})
        answer = requests.Response()
        answer.status_code = given if isinstance(given, int) else 200
        errors, earlier = ([], None) if isinstance(given, int) else (given.get("errors", []), given.get("earlier"))
        errors = [{"code": code, "field": "reference" if "key" in code else "to", "message": ""} for code in errors]
        answer._content = json.dumps({"errors": errors, "earlier": earlier}).encode()
        return answer


def printed(draw):
    console = Console(file=io.StringIO(), width=80)
    draw(console)
    return console.file.getvalue()


def test_it_counts_segments_and_finds_the_largest(preview):
    lines = ("to,name", "+12025550100,Ada", f"+12025550101,{'b' * 160}", f"+12025550102,{'語' * 70}", "+1555,x")
    found, refused = preview(*lines)
    assert (found.rows, found.good, found.total_segments) == (4, 3, 5)
    assert (dict(found.segments), dict(found.encodings)) == ({1: 1, 2: 2}, {"GSM-7": 2, "UCS-2": 1})
    assert found.largest.line == 3
    assert [(row.line, row.codes) for row in refused] == [(5, ("invalid_recipient",))]
    shown = printed(lambda console: show(found, 97, console, "spring"))
    for line in (
        "4 rows, 3 messages to send",
        "5 segments in all: 1 message of 1, 2 messages of 2",
        "line 3, 2 segments",
    ):
        assert line in shown
    assert "2025550" not in shown


def test_the_first_messages_are_checked_by_the_api(preview):
    found, _ = preview("to,name", *(f"+1202555010{digit},Ada" for digit in range(5)))
    api = Api(
        {
            "+12025550100": {"errors": ["not_opted_in"]},
            "+12025550101": {"earlier": "delivered"},
            "+12025550102": {"errors": ["opted_out"], "earlier": "delivered"},
            "+12025550103": {"errors": ["opted_out", "idempotency_key_reused"], "earlier": "sending"},
        }
    )
    refused = []
    look_up(found, api, refused.append)
    assert [(method, path) for method, path, _ in api.asked] == [("POST", "/messages/preview")] * 5
    assert {body["reference"] for _, _, body in api.asked} == {row.reference for row in found.first}
    assert [(row.line, row.codes) for row in refused] == [(2, ("not_opted_in",)), (5, ("idempotency_key_reused",))]
    assert (found.looked_up, found.refused, found.earlier) == (5, 2, {"delivered": 2})
    shown = printed(lambda console: show(found, 97, console, "spring"))
    assert "of these, 2 messages sent before under the name “spring”" in shown
    assert "not again: 2 delivered" in shown
    assert "of these, 2 messages that will be refused" in shown


def test_nothing_is_said_where_the_api_cannot_check(preview):
    found, _ = preview("to,name", "+12025550100,Ada", "+12025550101,Ada")
    refused = []
    look_up(found, Api({"+12025550100": {"errors": ["not_opted_in"]}, "+12025550101": 400}), refused.append)
    assert (refused, found.looked_up) == ([], 0)
    assert "are checked when it is sent" in printed(lambda console: show(found, 97, console, "spring"))


def test_of_many_messages_the_first_are_checked(preview):
    found, _ = preview("to,name", *(f"+1202555{index:04},Ada" for index in range(LOOKED_UP + 1)))
    api = Api({})
    look_up(found, api, None)
    assert len(api.asked) == LOOKED_UP
    shown = printed(lambda console: show(found, 97, console, "spring"))
    assert "of the first 200, none was sent before under the name “spring”" in shown


def test_it_counts_countries_and_shows_numbers_as_they_will_be_used(preview):
    lines = ("Phone Number,name", "+1 (415) 555-0100,Ada", "0044 7700 900123,Bea", "+4915112345678,Cy")
    found, refused = preview(*lines)
    assert (found.countries, refused) == ({"US": 1, "GB": 1, "DE": 1}, [])
    shown = printed(lambda console: show(found, 97, console, "spring"))
    assert "1 to US, 1 to GB, 1 to DE" in shown
    assert "2 numbers in another writing in the file: the first, of line 2, is used as +14155550100" in shown


def test_it_shows_one_whole_text_and_no_terminal_obeys_it(preview):
    found, _ = preview("to,name", "+12025550100,Ada\u202e", "+12025550101,Bea", text="Dear {name},\n[b]hello[/b]!")
    shown = printed(lambda console: show(found, 97, console, "spring"))
    assert "line 2 to +*******0100 reads:\n  │ Dear Ada\\u202e,\n  │ [b]hello[/b]!\n" in shown


def test_it_tells_of_one_text_to_one_number_under_two_references(preview):
    lines = ("to,name,reference", "+12025550100,Ada,1", "12025550100,Ada,2", "+12025550100,Bea,3")
    found, refused = preview(*lines)
    assert (found.good, found.repeats, refused) == (3, 1, [])
    shown = printed(lambda console: show(found, 97, console, "spring"))
    assert "1 message with the number and text of an earlier row, and another reference" in shown


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.1, "1 s"), (97, "97 s"), (119, "119 s"), (600, "10 minutes"), (10_310, "3 hours")]
)
def test_durations_are_told_in_words(seconds, said):
    assert duration(seconds) == said


def test_refusals_are_told_once_and_all_of_them_in_a_file(preview, tmp_path):
    _, rows = preview("to,name", *["+1555,Ada"] * 30)
    path = tmp_path / "refused.csv"
    with skipped_rows(path) as refused:
        for row in rows:
            refused.note(row, again=True)
        shown = printed(refused.show)
        assert "not sent: 30 invalid_recipient" in shown
        assert shown.count("line ") == 20
        assert "--refused" in shown
        refused.note(rows[0])
        assert printed(refused.show) == ""
    assert len(path.read_text().splitlines()) == 31


def test_the_list_itself_is_never_overwritten(tmp_path):
    people, link, hard = (tmp_path / name for name in ("people.csv", "link.csv", "hard.csv"))
    people.write_text("to\n")
    link.symlink_to(people)
    hard.hardlink_to(people)
    for path in (people, link, hard, tmp_path / "x" / ".." / "people.csv"):
        with pytest.raises(CampaignError, match="is the list itself"), skipped_rows(path, people):
            pytest.fail("it was opened")
    assert people.read_text() == "to\n"


YESTERDAYS = "line,number,codes\n7,,duplicate\n"


def test_refusals_are_written_beside_and_renamed(tmp_path):
    path = tmp_path / "refused.csv"
    path.write_text(YESTERDAYS)

    def run(*rows, error=None):
        with suppress(KeyError), skipped_rows(path) as refused:
            for row in rows:
                refused.note(row)
            assert path.read_text() == YESTERDAYS
            if error:
                raise error

    run(error=KeyError())
    assert path.read_text() == YESTERDAYS
    run(Refused(2, "", ("missing_value",), "why"), error=KeyError())
    assert path.read_text().splitlines() == ["line,number,codes,reason", "2,,missing_value,why"]
    path.write_text(YESTERDAYS)
    run()
    assert path.read_text().splitlines() == ["line,number,codes,reason"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", ["to,name\n+14155550123,Ada\n", "notes", "\x89PNG"])
def test_a_file_of_something_else_is_not_overwritten(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_text(content)
    with pytest.raises(CampaignError, match="holds something else"), skipped_rows(path):
        pytest.fail("it was opened")
    assert path.read_text() == content


@pytest.mark.parametrize("place", ["", "missing/refused.csv"])
def test_a_place_for_refusals_that_cannot_be_written_is_told(tmp_path, place):
    with pytest.raises(CampaignError), skipped_rows(tmp_path / place):
        pytest.fail("it was opened")


def test_an_error_while_sending_is_not_taken_for_one_of_the_file(tmp_path):
    with pytest.raises(requests.ConnectionError), skipped_rows(tmp_path / "refused.csv"):
        raise requests.ConnectionError


@pytest.mark.parametrize("width", [80, 40])
def test_the_bar_is_as_wide_as_there_is_room(width):
    counts = {"queued": 30, "delivered": 50, "failed": 1, "novel": 2}
    console = Console(file=io.StringIO(), width=width)
    console.print(StatusBar(counts, 100, "0:05"))
    bar, line = console.file.getvalue().splitlines()[:2]
    assert len(bar) == min(72, width)
    assert bar.lstrip("━").lstrip("─").lstrip("┈") == ""
    assert line.startswith(as_text(counts)[: width - 10])
    assert as_text(counts) == "50 delivered · 1 failed · 30 queued · 2 novel"
    assert as_text({}) == "none yet"
