import tracemalloc

import pytest

from cli.campaign.people import CampaignError, People


@pytest.fixture
def people(tmp_path):
    """Make a file of some text or bytes, and open it."""

    def make(content, encoding="utf-8"):
        path = tmp_path / "people.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return People(path)

    return make


def read(people):
    return [(row.line, dict(row.values)) for row in people.rows()]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_spreadsheets_export_is_read(people, delimiter, encoding, end):
    content = end.join(delimiter.join(cells) for cells in (("To", " Name "), ("+12025550100", " Grüße "), ("", "")))
    assert read(people(content, encoding)) == [(2, {"to": "+12025550100", "name": "Grüße"})]


def test_lines_are_the_files_own_whatever_is_blank_or_quoted(people):
    content = '\n\nto,name\n\n1,"a\nb"\n,\n2,"c, ""d"""\n3'
    assert read(people(content)) == [
        (5, {"to": "1", "name": "a\nb"}),
        (8, {"to": "2", "name": 'c, "d"'}),
        (9, {"to": "3"}),
    ]


def test_a_name_may_hold_another_delimiter(people):
    assert people("to;name, first\n").columns == ("to", "name, first")


def test_empty_columns_and_empty_cells_at_the_end_are_no_matter(people):
    (row,) = people("to,name,\n1,a,,\n").rows()
    assert not row.has_too_many_cells
    (row,) = people("to,name\n1,a,b\n").rows()
    assert row.has_too_many_cells


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "no column `to`.*none"),
        ("number,name\n1,a\n", "no column `to`.*number, name"),
        ("to,name,NAME\n", "two columns of the same name"),
        ("to,naïve\n".encode("latin-1"), "not UTF-8"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_its_reason(people, content, told):
    with pytest.raises(CampaignError, match=told):
        people(content)


def test_what_goes_wrong_further_down_is_told_with_its_line(people):
    with pytest.raises(CampaignError, match="line 3"):
        list(people('to,name\n1,a\n2,"b\n3,c\n').rows())
    with pytest.raises(CampaignError, match="not UTF-8"):
        list(people(b"to\n" + b"1\n" * 100_000 + b"\xff\n").rows())


def test_a_missing_file_is_told_by_name(tmp_path):
    with pytest.raises(CampaignError, match=r"people\.csv can't be read: No such file"):
        People(tmp_path / "people.csv")


def test_a_large_file_is_never_in_memory(people):
    content = "to,name\n" + "+12025550100,somebody with a name\n" * 40_000
    assert len(content) > 1_300_000
    large = people(content)
    tracemalloc.start()
    assert sum(1 for _ in large.rows()) == 40_000
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
