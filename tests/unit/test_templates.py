"""The carriers' rules: each violation alone, all together, and what merely deserves a warning."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxone_messaging.domain.errors import Code
from cxone_messaging.domain.templates import RULES, Template, advice, is_template_id, size_of, violations

OPT_OUT = " Reply STOP"


def template(content="Hello from Example. Reply STOP to opt out.", from_address="24680", **changes):
    return Template("t", "DRAFT", content, from_address, changes.pop("updated_at", None), None, {}, **changes)


def codes(content, from_address="24680"):
    return [each.code for each in violations(template(content, from_address))]


def advised(content, from_address="24680"):
    return [each.code for each in advice(template(content, from_address))]


def filled(character, septets=160):
    """Make content of so many septets, of one character but for its opt-out wording."""
    width = 2 if character in "\f^{}\\[~]|€" else 1
    rest = septets - len(OPT_OUT)
    return character * (rest // width) + "x" * (rest % width) + OPT_OUT


def test_a_good_template_breaks_no_rule():
    assert codes("Hello from Example. Reply STOP to opt out.") == []


class TestAlone:
    def test_too_long_says_by_how_much(self):
        (found,) = violations(template(filled("x", 163)))
        assert found.code is Code.TEMPLATE_TOO_LONG
        assert "163 septets" in found.message
        assert "by 3" in found.message

    def test_not_gsm7_names_the_characters_and_where(self):
        (found,) = violations(template("Un caf\u00e9 fran\u00e7ais \u2713 \u00e7a va? Reply STOP"))
        assert found.code is Code.TEMPLATE_NOT_GSM7
        assert "“\u00e7” (U+00E7) at 13, 20" in found.message
        assert "“\u2713” (U+2713) at 18" in found.message
        assert "\u00e9" not in found.message, "é is GSM-7"

    def test_what_can_not_be_shown_is_named_by_its_number(self):
        (found,) = violations(template("\x1b\ud800 Hello. Reply STOP"))
        assert found.message.endswith("U+001B at 1; U+D800 at 2")
        assert size_of(template("\x1b Reply STOP")) is None

    def test_many_characters_are_not_all_named(self):
        (found,) = violations(template("".join(map(chr, range(0x4E00, 0x4E20))) + OPT_OUT))
        assert "and 22 more" in found.message

    @pytest.mark.parametrize(
        "sender", ["+15550100", "1234", "1234567", "", " 24680", "24680\n", "٢٤٦٨٠", "2468a", "+24680"]
    )
    def test_what_is_no_short_code_is_refused(self, sender):
        (found,) = violations(template(from_address=sender))
        assert (found.code, found.field) == (Code.TEMPLATE_SHORTCODE_INVALID, "from_address")
        assert not sender.strip() or sender not in found.message

    @pytest.mark.parametrize("sender", ["24680", "246801"])
    def test_a_short_code_is_taken(self, sender):
        assert violations(template(from_address=sender)) == ()

    @pytest.mark.parametrize("content", ["Hello.", "Reply to STOP", "STOP", "nonstop to opt outside", "Text STOP", ""])
    def test_no_opt_out_wording(self, content):
        (found,) = violations(template(content))
        assert found.code is Code.TEMPLATE_OPT_OUT_MISSING
        assert "STOP to opt out" in found.message

    @pytest.mark.parametrize(
        "wording", ["REPLY STOP", "sToP tO oPt OuT", "text stop to unsubscribe", "Reply STOP now", "reply  stop"]
    )
    def test_opt_out_wordings_in_any_letter_case(self, wording):
        assert codes(f"Hello. {wording}.") == []


def test_all_rules_can_be_broken_at_once():
    assert codes("Ünicode ✓ " * 20, "+15550100") == [code for code, _, _ in RULES]


@pytest.mark.parametrize("character", ["\u00e9", "€", "x", "[", "à", "Ω"])
def test_a_text_of_160_septets_fits_and_one_more_does_not(character):
    """é takes two bytes and one septet, € three bytes and two septets: neither bytes nor characters count."""
    assert codes(filled(character)) == []
    assert codes(filled(character, 161)) == [Code.TEMPLATE_TOO_LONG]


def test_160_characters_with_extension_characters_are_too_long():
    content = "€" * 10 + "x" * (150 - len(OPT_OUT)) + OPT_OUT
    (found,) = violations(template(content))
    assert len(content) == 160
    assert "170 septets" in found.message


def test_what_is_not_gsm7_is_too_long_beyond_160_characters_only():
    fits = "\u2713" * (160 - len(OPT_OUT)) + OPT_OUT
    assert codes(fits) == [Code.TEMPLATE_NOT_GSM7]
    assert codes("\u2713" + fits) == [Code.TEMPLATE_TOO_LONG, Code.TEMPLATE_NOT_GSM7]


class TestAdvice:
    def test_a_short_code_that_does_not_exist_in_the_us(self):
        assert advised("Hello from Example. Reply STOP", "12345") == ["template_shortcode_unassigned"]

    @pytest.mark.parametrize(
        "link", ["bit.ly/abc", "https://tinyurl.com/x", "http://www.t.co/1?x", "See BIT.LY/x.", "(t.co)", "at t.co."]
    )
    def test_a_public_shortener_is_warned_of(self, link):
        assert advised(f"Example: look {link} Reply STOP") == ["template_link_shortener"]

    @pytest.mark.parametrize("link", ["https://example.com/t.co.html", "orbit.ly/x", "t.com", "a@t.co", "bit.lyon"])
    def test_any_other_link_is_not_warned_of(self, link):
        assert advised(f"Example: look {link} Reply STOP") == []

    def test_shouting_names_the_words(self):
        (found,) = advice(template("Example: BUY NOW, HUGE SALE by IBM. REPLY STOP to quit or text HELP"))
        assert found.code == "template_shouting"
        assert found.message.endswith("HUGE, SALE")

    @pytest.mark.parametrize(
        "content", ["Your order has shipped.", "It is here! I'm sorry.", "Code 1234. Do not share it.", "STOP QUIT."]
    )
    def test_nobody_says_who_writes(self, content):
        assert advised(f"{content} Reply STOP to opt out.") == ["template_brand_missing"]

    @pytest.mark.parametrize(
        "content", ["Welcome to Example.", "[Acme] your code", "Acme Bank: your code", "Thanks, IBM.", "Dein Ärzteteam"]
    )
    def test_somebody_says_who_writes(self, content):
        assert advised(f"{content} Reply STOP to opt out.") == []


def test_a_version_is_what_carriers_judge_and_nothing_else():
    one = template()
    assert one.version == template(updated_at="later").version
    assert len({one.version, template("Hi").version, template(from_address="13579").version}) == 3
    assert len({one.state, template(updated_at="later").state}) == 2


@pytest.mark.parametrize("id_", ["welcome", "0b9c8f2e-5a0c-4f43-9d3e-1b6a0b9c8f2e", "a.b_c~d:e@f", "x" * 128])
def test_what_can_be_an_id_is_one(id_):
    assert is_template_id(id_)


@pytest.mark.parametrize(
    "id_", ["", ".", "..", "a/b", "a\\b", "a?b", "a#b", "a b", "a%2Fb", "é", "a\n", "-a", "x" * 129]
)
def test_what_is_no_id(id_):
    assert not is_template_id(id_)


@given(st.text(max_size=400), st.text(max_size=10))
def test_whatever_the_content_there_is_an_answer(content, sender):
    one = template(content, sender)
    assert set(codes(content, sender)) <= {code for code, _, _ in RULES}
    assert len(advice(one)) <= 4
    assert len(one.version) == 64
