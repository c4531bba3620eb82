import json

import pytest

from cli.campaign.people import CampaignError, People
from cli.campaign.placeholders import MissingValueError, TextWithPlaceholders
from cli.campaign.plan import Campaign, Message, Refused


@pytest.fixture
def campaign(tmp_path):
    """Make a campaign of a file's lines."""

    def make(*lines, name="spring", text="Dear {name}", **options):
        path = tmp_path / "people.csv"
        path.write_text("\n".join(lines))
        return Campaign(name=name, people=People(path), text=text, **options)

    return make


def batches(campaign):
    return list(campaign.batches(campaign.rows()))


def number(index):
    return f"+1202555{index:04}"


class TestTextWithPlaceholders:
    def test_placeholders_are_filled_whatever_their_case(self):
        assert (
            TextWithPlaceholders("Dear {Name}: { time }!", ["name", "time"]).filled({"name": "Ada", "time": "7"})
            == "Dear Ada: 7!"
        )

    def test_doubled_braces_stand_for_themselves(self):
        assert TextWithPlaceholders("{{nom}} is {name}", ["name"]).filled({"name": "{to}"}) == "{nom} is {to}"

    def test_a_slip_is_sent_as_it_is_if_that_is_wanted(self):
        text = TextWithPlaceholders("{{name}} is [name], {name}", ["name"], is_literal=True)
        assert text.filled({"name": "Ada"}) == "{name} is [name], Ada"

    def test_an_empty_value_is_a_missing_one(self):
        with pytest.raises(MissingValueError):
            TextWithPlaceholders("Dear {name}", ["name"]).filled({"name": ""})

    @pytest.mark.parametrize(
        ("text", "told"),
        [("Dear {nmae}", r"\{nmae\}"), ("Dear {name", "brace"), ("}", "brace"), ("{}", "no such column")],
    )
    def test_a_slip_in_the_text_is_told_before_anything_is_sent(self, text, told):
        with pytest.raises(CampaignError, match=told):
            TextWithPlaceholders(text, ["name"])

    def test_it_is_no_format_string(self):
        with pytest.raises(CampaignError):
            TextWithPlaceholders("{name.__class__}", ["name"])


class TestRows:
    def test_a_good_row_is_a_message(self, campaign):
        (row,) = campaign("to,name", "12025550100,Ada").rows()
        assert isinstance(row, Message)
        assert (row.request.to, row.request.text, row.size.segments) == (number(100), "Dear Ada", 1)
        assert row.masked == "+*******0100"

    @pytest.mark.parametrize(
        ("line", "codes"),
        [
            ("+1555,Ada", ("invalid_recipient",)),
            (",Ada", ("invalid_recipient",)),
            ("+12025550100,", ("missing_value",)),
            ("+1555,", ("missing_value", "invalid_recipient")),
            ("+12025550100", ("missing_value",)),
            ("+12025550100,Ada,more", ("too_many_cells",)),
            ("+12025550100," + "a" * 2000, ("too_many_segments",)),
            ("+12025550100,\x1b", ("missing_value",)),
            ("+12025550100,A\x1b", ("invalid_characters",)),
        ],
    )
    def test_a_bad_row_is_refused_with_all_its_reasons(self, campaign, line, codes):
        (row,) = campaign("to,name", line).rows()
        assert isinstance(row, Refused)
        assert (row.line, row.codes) == (2, codes)
        assert row.masked in {"", "+*******0100"}

    def test_the_same_message_twice_is_one(self, campaign):
        rows = list(campaign("to,name", "+12025550100,Ada", "12025550100, Ada ", "+12025550100,Bea").rows())
        assert [getattr(row, "codes", None) for row in rows] == [None, ("duplicate",), None]

    def test_references_tell_apart_or_not(self, campaign):
        lines = ("to,name,reference", "+12025550100,Ada,1", "+12025550100,Ada,2", "+12025550101,Bea,2")
        rows = list(campaign(*lines).rows())
        assert [getattr(row, "codes", None) for row in rows] == [None, None, ("duplicate",)]
        assert [row.reference for row in rows[:2]] == ["1", "2"]

    def test_a_reference_is_the_same_under_every_name_and_its_marks_are_no_part_of_it(self, campaign):
        lines = ("to,name,reference", "+12025550100,Ada,\u200bA 1\ufeff", "+12025550101,Ada,\u200b")
        one, other = (list(campaign(*lines, name=name).rows()) for name in ("people", "people (1)"))
        assert one[0].reference == other[0].reference == "A 1"
        assert one[1].reference.startswith("people/")
        assert one[1].reference != other[1].reference

    def test_a_reference_that_is_too_long(self, campaign):
        (row,) = campaign("to,name,reference", "+12025550100,Ada," + "r" * 256).rows()
        assert row.codes == ("reference_too_long",)

    def test_a_cell_that_swallowed_the_next_row_is_refused(self, campaign):
        lines = ("to,name", '+12025550100,"Ada', '+12025550101,Bob"', "+12025550102,Cy")
        first, second = campaign(*lines).rows()
        assert (first.line, first.codes, second.line) == (2, ("line_in_cell",), 4)
        assert isinstance(second, Message)
        (kept,) = campaign("to,name", '+12025550100,"Ada', 'Lovelace"').rows()
        assert isinstance(kept, Message)

    def test_a_text_of_ones_own(self, campaign):
        rows = list(campaign("to,text", "+12025550100,Hi {there}", "+12025550101,", text=None).rows())
        assert rows[0].request.text == "Hi {there}"
        assert rows[1].codes == ("text_required",)

    @pytest.mark.parametrize(("header", "text"), [("to,text", "Hello"), ("to,name", None)])
    def test_two_texts_or_none(self, campaign, header, text):
        with pytest.raises(CampaignError):
            list(campaign(header, text=text).rows())


class TestBatches:
    LINES = ("to,name", *(f"{number(index)},Name {index}" for index in range(50)))

    def test_the_body_is_what_the_api_takes(self, campaign):
        options = {"campaign_id": "cx", "sender": "24680", "text": "“{name}”"}
        (batch,) = batches(campaign(*self.LINES[:3], "+1555,No", **options))
        body = json.loads(batch.body)
        assert (body["campaignId"], body["from"]) == ("cx", "24680")
        assert [(each["to"], each["text"]) for each in body["messages"]] == [
            (number(0), "“Name 0”"),
            (number(1), "“Name 1”"),
        ]
        assert [message.line for message in batch.messages] == [2, 3]
        (plain,) = batches(campaign(*self.LINES[:3]))
        assert set(json.loads(plain.body)) == {"messages"}

    def test_nothing_is_left_out_and_no_batch_is_too_large(self, campaign, monkeypatch):
        made = batches(campaign(*self.LINES, batch_messages=20))
        assert [len(batch.messages) for batch in made] == [20, 20, 10]
        monkeypatch.setattr("cli.campaign.plan.BATCH_BYTES", 1000)
        made = batches(campaign(*self.LINES))
        assert sum(len(batch.messages) for batch in made) == 50
        assert max(len(batch.body) for batch in made) <= 1000 + len('{"messages": []}')

    def test_the_same_again_has_the_same_keys(self, campaign):
        keys = [batch.key for batch in batches(campaign(*self.LINES, batch_messages=20))]
        assert len(set(keys)) == 3
        assert [batch.key for batch in batches(campaign(*self.LINES, batch_messages=20))] == keys

    @pytest.mark.parametrize(
        "changes", [{"name": "summer"}, {"text": "Hi {name}"}, {"campaign_id": "cx"}, {"sender": "24680"}]
    )
    def test_another_campaign_has_other_keys_and_references(self, campaign, changes):
        (one,), (other,) = batches(campaign(*self.LINES)), batches(campaign(*self.LINES, **changes))
        assert one.key != other.key
        assert not {each.reference for each in one.messages} & {each.reference for each in other.messages}

    def test_a_mended_file_keeps_the_references_of_what_it_had(self, campaign):
        (one,) = batches(campaign("to,name", "+1555,Ada", "+12025550101,Bea"))
        (other,) = batches(campaign("to,name", "+12025550100,Ada", "+12025550101,Bea"))
        assert one.key != other.key
        assert one.messages[0].reference == other.messages[1].reference
