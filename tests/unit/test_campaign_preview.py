import io
import threading

import pytest
import requests
from rich.console import Console

from cli.campaign.people import People
from cli.campaign.plan import Campaign
from cli.campaign.preview import CONSENTS_LIMIT, duration, look_at, look_up_consents, show
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


class Consents:
    def __init__(self, statuses):
        self.statuses = statuses
        self.asked = []
        self._lock = threading.Lock()

    def call(self, method, path, body=None, headers=None):
        with self._lock:
            self.asked.append((method, path))
        status = self.statuses[path.rpartition("/")[2]]
        answer = requests.Response()
        answer.status_code = status if isinstance(status, int) else 200
        answer._content = f'{{"status": "{status}"}}'.encode()
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
    shown = printed(lambda console: show(found, 97, console))
    for line in (
        "4 rows, 3 messages to send",
        "5 segments in all: 1 message of 1, 2 messages of 2",
        "line 3, 2 segments",
    ):
        assert line in shown
    assert "2025550" not in shown


def test_few_consents_are_looked_up(preview):
    found, _ = preview("to,name", *(f"+1202555010{digit},Ada" for digit in range(4)), "+12025550100,Bea")
    api = Consents(
        {"12025550100": 404, "12025550101": "opted_in", "12025550102": "opted_out", "12025550103": "opted_in"}
    )
    refused = []
    look_up_consents(found, api, refused.append)
    assert len(api.asked) == 4
    assert [(row.line, row.codes) for row in refused] == [
        (2, ("not_opted_in",)),
        (4, ("opted_out",)),
        (6, ("not_opted_in",)),
    ]
    assert (found.consents_checked, found.without_consent) == (True, 3)


def test_nothing_is_said_where_consents_cannot_be_read(preview):
    found, _ = preview("to,name", "+12025550100,Ada", "+12025550101,Ada")
    refused = []
    look_up_consents(found, Consents({"12025550100": 404, "12025550101": 403}), refused.append)
    assert (refused, found.consents_checked) == ([], False)
    assert "consents are checked when it is sent" in printed(lambda console: show(found, 97, console))


def test_many_consents_are_left_to_the_batches(preview):
    found, _ = preview("to,name", *(f"+1202555{index:04},Ada" for index in range(CONSENTS_LIMIT + 1)))
    api = Consents({})
    look_up_consents(found, api, None)
    assert api.asked == []


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
