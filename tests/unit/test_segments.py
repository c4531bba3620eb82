import random
from collections.abc import Callable
from itertools import product

import pytest
import smsutil
from hypothesis import given, settings
from hypothesis import strategies as st

from cxone_messaging import segments
from cxone_messaging.segments import InvalidCharacterError, SegmentCount, count, non_gsm7

# The tables, written down a second time: TS 23.038 6.2.1, a column of the chart (0x00, 0x10, ...) a line, and 6.2.1.1.
BASIC = [
    "@£$¥èéùìòÇ\nØø\rÅå",
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ",
    " !\"#¤%&'()*+,-./",
    "0123456789:;<=>?",
    "¡ABCDEFGHIJKLMNO",
    "PQRSTUVWXYZÄÖÑÜ§",
    "¿abcdefghijklmno",
    "pqrstuvwxyzäöñüà",
]
EXTENSION = "\f^{}\\[~]|€"
ESCAPE = "\x1b"
ONE_SEPTET = [character for column in BASIC for character in column if character != ESCAPE]

FAMILY = "👨\u200d👩\u200d👧\u200d👦"
ALPHABETS: dict[str, list[str]] = {
    "basic": ONE_SEPTET,
    "extension": list(EXTENSION),
    "accented": list("éèùìòàÇçáíóúâêôãõœşğłčžÄÖÜäöüß"),
    "greek": list("ΔΦΓΛΩΠΨΣΘΞΑΒαβγδω"),
    "cjk": list("短信服务メッセージ문자"),
    "emoji": ["😀", "🎉", "👍🏽", "🇨🇭", "❤️", FAMILY, "🏳️\u200d🌈"],
    "lookalike": list("`\t\u00a0\u2019\u201c\u201d\u2013…•"),
}
# What the oracle takes for encodable, though it isn't.
REFUSED = [ESCAPE, "\ud83d", "\ude00"]

MIXES = [["basic"], ["basic"], ["basic", "extension"], ["extension"], ["basic", "accented"], ["basic", "greek"]]
MIXES += [["cjk"], ["emoji"], ["cjk", "emoji"], ["basic", "emoji"], ["basic", "lookalike"], list(ALPHABETS)]
BORDERS = [(150, 165), (300, 320), (65, 75), (130, 140)]


def random_text(rng: random.Random) -> str:
    pool = [piece for name in rng.choice(MIXES) for piece in ALPHABETS[name]]
    length = rng.randint(*rng.choice(BORDERS)) if rng.random() < 0.7 else rng.randint(0, 500)
    text = "".join(rng.choices(pool, k=length))
    if rng.random() < 0.5:
        text = text[:length]  # code points, as the pieces of a sequence are several
    if rng.random() < 0.02:
        at = rng.randint(0, len(text))
        text = text[:at] + rng.choice(REFUSED) + text[at:]
    return text


def test_it_agrees_with_smsutil() -> None:
    """Two texts in a hundred hold what the oracle gets wrong; what we say to those is asserted one by one below.

    It counts U+001B as one septet of GSM-7, though the septet 0x1B stands for no character (TS 23.038 6.2.1, note 1).
    It counts a lone surrogate as one UTF-16 unit, though its own `encode` then fails on it.
    It says UTF-16 of the empty text, since its regular expression wants a character; its one segment is ours too.
    """
    rng = random.Random(23038)
    texts = [random_text(rng) for _ in range(20_000)]
    compared, encodings, crossings = 0, set(), 0
    for text in texts:
        if any(character in text for character in REFUSED):
            with pytest.raises(InvalidCharacterError):
                count(text)
            continue
        if not text:
            assert count(text) == SegmentCount("GSM-7", 0, 1)
            continue
        oracle = smsutil.split(text)
        encoding, unit = ("GSM-7", 1) if oracle.encoding == "gsm0338" else ("UCS-2", 2)
        units, parts = oracle.total_bytes // unit, len(oracle.parts)
        assert count(text) == (encoding, units, parts), repr(text)
        compared += 1
        encodings.add(encoding)
        crossings += parts > 1 and parts > -(-units // (153 if unit == 1 else 67))
    assert compared >= 0.95 * len(texts)
    assert encodings == {"GSM-7", "UCS-2"}
    assert crossings > 100, "too few texts in which a pair that must not be split costs a whole segment"


@pytest.mark.parametrize("text", ["", ESCAPE, "a" + ESCAPE, "a" * 160 + ESCAPE])
def test_where_the_oracle_is_wrong_it_is_wrong_as_described(text: str) -> None:
    oracle = smsutil.split(text)
    if text:
        assert (oracle.encoding, oracle.total_bytes) == ("gsm0338", len(text))
    else:
        assert (oracle.encoding, oracle.total_bytes, len(oracle.parts)) == ("utf_16_be", 0, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("GSM-7", 0, 1)),
        ("a", ("GSM-7", 1, 1)),
        ("Your code is 123456. Reply STOP to opt out", ("GSM-7", 42, 1)),
        # the borders of GSM-7
        ("a" * 160, ("GSM-7", 160, 1)),
        ("a" * 161, ("GSM-7", 161, 2)),
        ("a" * 306, ("GSM-7", 306, 2)),
        ("a" * 307, ("GSM-7", 307, 3)),
        ("a" * 459, ("GSM-7", 459, 3)),
        ("a" * 460, ("GSM-7", 460, 4)),
        # extension characters take two septets
        ("]" * 80, ("GSM-7", 160, 1)),
        ("a" * 159 + "€", ("GSM-7", 161, 2)),
        # an escape pair is never split: 76 of them in each segment of 153
        ("]" * 152, ("GSM-7", 304, 2)),
        ("]" * 153, ("GSM-7", 306, 3)),
        ("a" * 152 + "]" + "a" * 7, ("GSM-7", 161, 2)),
        ("a" * 152 + "]" + "a" * 151, ("GSM-7", 305, 2)),
        ("a" * 152 + "]" + "a" * 152, ("GSM-7", 306, 3)),
        ("a" * 151 + "]" + "a" * 153, ("GSM-7", 306, 2)),
        ("]" * 76 + "a" + "]" * 76 + "a", ("GSM-7", 306, 2)),
        # the borders of UCS-2
        ("ç" * 70, ("UCS-2", 70, 1)),
        ("ç" * 71, ("UCS-2", 71, 2)),
        ("ç" * 134, ("UCS-2", 134, 2)),
        ("ç" * 135, ("UCS-2", 135, 3)),
        # an extension character takes one unit there, a character beyond U+FFFF two
        ("ç" + "]" * 69, ("UCS-2", 70, 1)),
        ("\uffff" * 70, ("UCS-2", 70, 1)),
        ("\U00010000" * 35, ("UCS-2", 70, 1)),
        ("😀" * 35, ("UCS-2", 70, 1)),
        ("😀" * 36, ("UCS-2", 72, 2)),
        # a surrogate pair is never split: 33 of them in each segment of 67
        ("ç" * 66 + "😀" + "ç" * 3, ("UCS-2", 71, 2)),
        ("ç" * 66 + "😀" + "ç" * 65, ("UCS-2", 133, 2)),
        ("ç" * 66 + "😀" + "ç" * 66, ("UCS-2", 134, 3)),
        ("ç" * 65 + "😀" + "ç" * 67, ("UCS-2", 134, 2)),
        ("😀" * 66, ("UCS-2", 132, 2)),
        ("😀" * 67, ("UCS-2", 134, 3)),
        # a sequence of emoji is several characters
        (FAMILY, ("UCS-2", 11, 1)),
    ],
)
def test_a_text_takes_what_the_specification_says(text: str, expected: tuple[str, int, int]) -> None:
    assert count(text) == expected


def test_the_basic_table_is_one_septet_each() -> None:
    assert len(ONE_SEPTET) == 127
    for character in ONE_SEPTET:
        assert count(character) == ("GSM-7", 1, 1), repr(character)


@pytest.mark.parametrize("character", EXTENSION)
def test_an_extension_character_is_two_septets(character: str) -> None:
    assert count(character) == ("GSM-7", 2, 1)
    assert count(character * 81) == ("GSM-7", 162, 2)


@pytest.mark.parametrize(
    "character", ["ç", "`", "\t", "\u00a0", "\N{GREEK CAPITAL LETTER ALPHA}", "\u2019", "á", "\x00"]
)
def test_lookalikes_are_not_gsm7(character: str) -> None:
    assert count("a" + character) == ("UCS-2", 2, 1)
    assert non_gsm7("a" + character) == [(1, character)]


def test_every_other_character_of_the_basic_plane_is_ucs2() -> None:
    plane = {chr(code) for code in (*range(0xD800), *range(0xE000, 0x10000))}
    others = plane - {*ONE_SEPTET, *EXTENSION, ESCAPE}
    assert all(count(character) == ("UCS-2", 1, 1) for character in others)


@pytest.mark.parametrize(
    ("text", "index"),
    [
        (ESCAPE, 0),
        ("code" + ESCAPE + "e", 4),
        ("ç" + ESCAPE, 1),
        ("\ud800", 0),
        ("a\udfff", 1),
        ("\ud83d\ude00", 0),  # two surrogate code points aren't the character that they would encode
        ("\U0001f600\udbff\x1b", 1),
        ("a" + ESCAPE + "\udc00" + ESCAPE, 1),
    ],
)
def test_what_no_encoding_carries_is_refused(text: str, index: int) -> None:
    with pytest.raises(InvalidCharacterError) as refused:
        count(text)
    assert refused.value.index == index
    assert f"U+{ord(text[index]):04X}" in str(refused.value)
    assert (index, text[index]) in non_gsm7(text)


def test_a_refusal_does_not_hold_the_text() -> None:
    with pytest.raises(InvalidCharacterError) as refused:
        count("secret" + ESCAPE)
    assert "secret" not in str(refused.value)
    assert ESCAPE not in str(refused.value)


def test_non_gsm7_says_what_and_where() -> None:
    assert non_gsm7("") == []
    assert non_gsm7("Reply STOP to opt out {€}") == []
    assert non_gsm7("ça `va` 😀\x1b") == [(0, "ç"), (3, "`"), (6, "`"), (8, "😀"), (9, ESCAPE)]


# Texts around the borders, quickly: few pieces, repeated.
characters = st.one_of(
    st.sampled_from(ONE_SEPTET),
    st.sampled_from(EXTENSION),
    st.characters(exclude_categories=["Cs"], exclude_characters=ESCAPE),
)


def texts_of(pieces: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    runs = st.tuples(pieces, st.one_of(st.integers(1, 5), st.integers(60, 165)))
    return st.lists(runs, max_size=8).map(lambda parts: "".join(piece * times for piece, times in parts))


gsm7_texts = texts_of(st.sampled_from([*ONE_SEPTET, *EXTENSION]))
ucs2_texts = texts_of(characters).map(lambda text: text + "ç")
all_texts = st.one_of(gsm7_texts, ucs2_texts, texts_of(characters))


def packed(widths: list[int], alone: int, joined: int) -> int:
    """Segments by filling one after another, a character at a time."""
    if sum(widths) <= alone:
        return 1
    segments, used = 1, 0
    for width in widths:
        if used + width > joined:
            segments, used = segments + 1, 0
        used += width
    return segments


@settings(max_examples=250, deadline=None)
@given(all_texts)
def test_filling_segments_one_by_one_gives_the_same(text: str) -> None:
    if all(character in ONE_SEPTET or character in EXTENSION for character in text):
        widths = [2 if character in EXTENSION else 1 for character in text]
        assert count(text) == ("GSM-7", sum(widths), packed(widths, 160, 153))
    else:
        widths = [len(character.encode("utf-16-be")) // 2 for character in text]
        assert count(text) == ("UCS-2", sum(widths), packed(widths, 70, 67))


def test_every_place_of_pairs_around_the_second_border() -> None:
    """Exhaustive where hypothesis is only lucky: two pairs anywhere in the last places of the first two segments."""
    for narrow, wide, alone, joined in [("a", "]", 160, 153), ("ç", "😀", 70, 67)]:
        for first, between, tail in product(range(joined - 4, joined + 3), repeat=3):
            text = narrow * first + wide + narrow * between + wide + narrow * tail
            widths = [2 if character == wide else 1 for character in text]
            assert count(text)[1:] == (sum(widths), packed(widths, alone, joined))


@settings(max_examples=120, deadline=None)
@given(all_texts)
def test_the_units_fit_in_the_segments(text: str) -> None:
    encoding, units, needed = count(text)
    alone, joined = {"GSM-7": (160, 153), "UCS-2": (70, 67)}[encoding]
    assert needed >= 1
    assert needed * (alone if needed == 1 else joined) >= units
    if needed > 1:  # only one unit a segment may be left over, and one segment would not have been enough
        assert units > alone
        assert units > (needed - 1) * (joined - 1)


def no_units_are_lost(texts: st.SearchStrategy[str], encoding: str) -> Callable[[], None]:
    @settings(max_examples=120, deadline=None)
    @given(texts, texts)
    def check(first: str, second: str) -> None:
        one, other, both = count(first), count(second), count(first + second)
        assert one.encoding == other.encoding == both.encoding == encoding
        assert both.units == one.units + other.units
        assert max(one.segments, other.segments) <= both.segments <= one.segments + other.segments + 1

    return check


test_concatenation_adds_units_in_gsm7 = no_units_are_lost(gsm7_texts, "GSM-7")
test_concatenation_adds_units_in_ucs2 = no_units_are_lost(ucs2_texts, "UCS-2")


@settings(max_examples=120, deadline=None)
@given(all_texts)
def test_non_gsm7_is_empty_exactly_for_gsm7(text: str) -> None:
    outside = non_gsm7(text)
    assert (count(text).encoding == "GSM-7") == (outside == [])
    assert all(text[index] == character for index, character in outside)
    kept = [character for index, character in enumerate(text) if index not in dict(outside)]
    assert count("".join(kept)).encoding == "GSM-7"


@settings(max_examples=120, deadline=None)
@given(st.text(alphabet=st.sampled_from(["a", "ç", "😀", ESCAPE, "\ud800", "\udfff"])))
def test_a_text_is_refused_or_can_be_encoded(text: str) -> None:
    bad = [index for index, character in enumerate(text) if character in (ESCAPE, "\ud800", "\udfff")]
    if not bad:
        text.encode("utf-16-be")
        count(text)
        return
    with pytest.raises(InvalidCharacterError) as refused:
        count(text)
    assert refused.value.index == bad[0]


def test_its_tables_do_not_overlap() -> None:
    assert len(segments._BASIC) == 127
    assert len(segments._EXTENSION) == 10
    assert not segments._BASIC & segments._EXTENSION
