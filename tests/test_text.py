"""What may be shown and signed: every code point, every rule, and the scripts that must pass."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
import unicodedata2
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import GatewayError, InvalidValue, TextNotDisplayable, TextTooLong
from gateway.core.text import IGNORABLE_RANGES, IGNORABLE_VERSION, MAX_MARKS, UNICODE_VERSION, displayable

BASE = "("  # composes with no mark

# Default_Ignorable_Code_Point as DerivedCoreProperties.txt derives it: Other_Default_Ignorable_Code_Point,
# Cf and Variation_Selector; without White_Space, interlinear annotation, Egyptian controls and
# Prepended_Concatenation_Mark.
OTHER_IGNORABLE = {
    0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2065, 0x3164, 0xFFA0, *range(0xFFF0, 0xFFF9), 0xE0000,
    *range(0xE0002, 0xE0020), *range(0xE0080, 0xE0100), *range(0xE01F0, 0xE1000),
}  # fmt: skip
VARIATION_SELECTORS = {*range(0x180B, 0x180E), 0x180F, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
VISIBLE_FORMATS = {
    *range(0xFFF9, 0xFFFC), *range(0x13430, 0x13441),
    *range(0x0600, 0x0606), 0x06DD, 0x070F, 0x0890, 0x0891, 0x08E2, 0x110BD, 0x110CD,
}  # fmt: skip


def is_ignorable(cp: int) -> bool:
    is_format = unicodedata2.category(chr(cp)) == "Cf" and cp not in VISIBLE_FORMATS
    return is_format or cp in OTHER_IGNORABLE or cp in VARIATION_SELECTORS


def show(text: str, *, max_length: int = 100_000, multiline: bool = True) -> str:
    return displayable(text, field="Content/Text", max_length=max_length, multiline=multiline)


def refusal(text: str, *, multiline: bool = True) -> TextNotDisplayable:
    with pytest.raises(TextNotDisplayable) as caught:
        show(text, multiline=multiline)
    assert caught.value.field == "Content/Text"
    return caught.value


def test_the_unicode_version_is_the_pinned_one_and_the_table_is_of_that_version() -> None:
    assert UNICODE_VERSION == unicodedata2.unidata_version == IGNORABLE_VERSION == "18.0.0"


def test_the_table_of_ignorable_code_points_equals_its_derivation() -> None:
    table = {cp for first, last in IGNORABLE_RANGES for cp in range(first, last + 1)}
    assert table == {cp for cp in range(0x110000) if is_ignorable(cp)}


@pytest.mark.rts("5(1)(a)")
def test_every_code_point_is_accepted_or_refused_as_the_rules_say() -> None:
    refused_categories = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    wrong = []
    for cp in range(0x110000):
        char = chr(cp)
        may_pass = char in "\n\r" or not (
            unicodedata2.category(char) in refused_categories
            or is_ignorable(cp)
            or cp in (0xFFFC, 0xFFFD)
            or unicodedata2.normalize("NFC", char) != char
        )
        try:
            passed = displayable(BASE + char, field="f", max_length=2) == BASE + char.replace("\r", "\n")
        except TextNotDisplayable as fault:
            passed = False
            if f" U+{cp:04X} at offset 1:" not in fault.message:
                wrong.append(f"{cp:04X} badly named: {fault.message}")
        if passed != may_pass:
            wrong.append(f"{cp:04X} {'passed' if passed else 'refused'}")
    assert wrong == []


def test_what_passes_can_stand_in_an_xml_1_0_document() -> None:
    """Production [2], Char, leaves out what is refused here; CR, which parsers change, never comes out."""
    for cp in (*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF):
        refusal(BASE + chr(cp))
    assert "\r" not in show("a\rb\r\r\nc\r")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("I pay €\u202e00,01", "U+202E at offset 7:"),
        ("\u200bhidden", "U+200B at offset 0:"),
        ("price\u3164", "U+3164 at offset 5:"),
        ("😀😀\U000e0041", "U+E0041 at offset 2:"),
        ("a\r\nb\r\nc\x00", "U+0000 at offset 5:"),
        ("a\ud800", "U+D800 at offset 1:"),
        ("tab\tstop", "U+0009 at offset 3:"),
        ("first\u00ad then\u200d", "U+00AD at offset 5:"),
        ("lost \ufffd", "U+FFFD at offset 5:"),
    ],
)
def test_a_refusal_names_the_first_code_point_and_its_offset_in_code_points(text: str, named: str) -> None:
    assert named in refusal(text).message


@pytest.mark.parametrize(
    "text", ["Zebra\u200bQuark", "Zebra Quarke\u0301", "\u0301Zebra", "Zebra" + "\u0338" * 9]
)
def test_a_refusal_echoes_no_part_of_the_text(text: str) -> None:
    message = refusal(text).message
    assert "Zebra" not in message
    assert "Quark" not in message
    assert message.isascii()


def test_line_ends_become_lf_and_nothing_else_changes() -> None:
    assert show("a\r\nb\rc\n\r\n d ") == "a\nb\nc\n\n d "


def test_a_single_line_has_no_line_end_of_any_kind() -> None:
    assert show("Ærø Sparekasse", multiline=False) == "Ærø Sparekasse"
    for line_end in ("\n", "\r", "\r\n"):
        assert "U+000A at offset 1:" in refusal(f"a{line_end}b", multiline=False).message


def test_the_length_is_counted_in_code_points_after_line_ends_became_lf() -> None:
    assert show("😀\r\né", max_length=3) == "😀\né"
    with pytest.raises(TextTooLong) as caught:
        show("😀\r\néx", max_length=3)
    assert caught.value.field == "Content/Text"
    assert "3 code points" in caught.value.message


@pytest.mark.rts("5(1)(a)")
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n",
        "\r\n \n",
        "\u00a0",
        "\u3000\u2003",
        "\u2800",
        "\u2800 \U00013441\U00013442",
        "\U0001d159",
        " \u0301",
    ],
)
def test_a_text_without_ink_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        show(text)
    assert caught.value.field == "Content/Text"


@pytest.mark.rts("5(1)(a)")
@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("cafe\u0301", "U+0065 at offset 3:"),  # composes
        ("5 \u212b", "U+212B at offset 2:"),  # ANGSTROM SIGN, a singleton
        ("\u2126", "U+2126 at offset 0:"),  # OHM SIGN, a singleton
        ("\u1112\u1161\u11ab", "U+1112 at offset 0:"),  # conjoining jamo
        ("(\u0301\u0323", "U+0301 at offset 1:"),  # marks out of canonical order
        ("\u0958", "U+0958 at offset 0:"),  # excluded from composition
        ("\uf900", "U+F900 at offset 0:"),  # CJK compatibility ideograph
        ("a\r\nA\u030a", "U+0041 at offset 2:"),
    ],
)
def test_text_that_is_not_nfc_is_refused_where_it_departs(text: str, named: str) -> None:
    assert named in refusal(text).message
    assert show(unicodedata2.normalize("NFC", text))


@pytest.mark.parametrize("mark", ["\u0338", "\u20dd", "\u093e"])  # Mn, Me, Mc
def test_no_mark_begins_the_text_or_a_line(mark: str) -> None:
    assert "at offset 0:" in refusal(f"{mark}a").message
    assert "at offset 2:" in refusal(f"a\r\n{mark}b").message
    assert show(f"q{mark} \u00a0{mark}")


def test_marks_stack_to_a_bound() -> None:
    assert show("q" + "\u0337" * MAX_MARKS + "q" + "\u0337" * MAX_MARKS)
    assert "U+20E5 at offset 9:" in refusal("q" + "\u0337" * MAX_MARKS + "\u20e5").message


@pytest.mark.parametrize(
    "text",
    [
        "Žižkov, Łódź, Ærøskøbing, İzmir, Đà Nẵng – „§ 5“ kostet € 1.234,50 …",
        "Ὁ δανειολήπτης συναινεῖ στο δάνειο· ποσό 348.500,00 €",
        "Заёмщик согласен с условиями договора №7 й ё",
        "أُوافِقُ على القرض بمبلغ ٣٤٨٬٥٠٠ يورو، وفقًا للشروط.",
        "אֲנִי מַסְכִּים לתנאי ההלוואה בסך 348,500 ₪",
        "ผู้กู้ยินยอมตามสัญญาเงินกู้ จำนวน ๓๔๘,๕๐๐ บาท",
        "Tôi đồng ý vay số tiền 348.500 ₫ theo hợp đồng này",
        "मैं ऋण की शर्तों से सहमत हूँ। राशि ₹३,४८,५००",
        "ஒப்பந்தத்தின் விதிமுறைகளை ஏற்கிறேன்",
        "အတိုးနှုန်းကို သဘောတူသည်",
        "本人同意贷款条款,金额为人民币叁拾肆万捌仟伍佰元整。",
        "私は融資条件に同意します。が ガ ー〜",
        "대출 조건에 동의합니다.",
        "ཧྐྵྨླྺྲྂ བོད་ཡིག",
        "Մայր ქართული አማርኛ ខ្ញុំយល់ព្រម",
        "👍🏽 🇩🇪 😀 ✅",
    ],
)
def test_the_scripts_of_the_world_pass_unchanged(text: str) -> None:
    assert show(text) == text


def test_the_limits_that_the_rules_have_on_purpose() -> None:
    for joined in ("👩\u200d🚀", "می\u200cخواهم", "❤\ufe0f", "क\u094d\u200dष", "٣\u06dd"):
        refusal(joined)


def test_the_sample_passes_and_names_its_amount_once() -> None:
    sample = files("gateway.samples").joinpath("mortgage-consent.txt").read_text("utf-8")
    assert show(sample) == sample
    assert sample.count("348.500,00") == 1
    assert "\nLoan amount: € 348.500,00\n" in sample


# Words that pass, salted with what must not: nearly every text drawn from all of Unicode is refused at once.
SALT = "\r\n \u00a0aeé(\u0301\u0323\u0338\u093e\u200d\u202e\u3164\ufe0f\u2800\x00\ud800\u212b\ufffd"
salted = st.lists(
    st.sampled_from(["q", "é", " ", "\n", "\r\n", "ש", "क\u093e", "한", "€ 5", "(\u0323\u0301"])
    | st.sampled_from(SALT)
    | st.characters(),
    max_size=12,
).map("".join)


@given(salted, st.booleans())
def test_what_passes_is_nfc_stable_and_free_of_what_is_refused(text: str, multiline: bool) -> None:
    try:
        shown = show(text, multiline=multiline)
    except GatewayError:
        return
    assert shown == "\n".join(text.replace("\r\n", "\n").split("\r"))
    assert show(shown, multiline=multiline) == shown
    assert unicodedata2.normalize("NFC", shown) == shown
    assert multiline or "\n" not in shown
    for char in shown.replace("\n", ""):
        assert unicodedata2.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        assert not is_ignorable(ord(char))


@given(salted, st.booleans())
def test_a_refused_code_point_stands_at_the_named_offset(text: str, multiline: bool) -> None:
    try:
        show(text, multiline=multiline)
    except TextNotDisplayable as fault:
        message = fault.message
    except InvalidValue:
        return
    else:
        return
    named = re.search(r" U\+([0-9A-F]{4,6}) at offset ([0-9]+): ", message)
    assert named is not None
    assert ord(text.replace("\r\n", "\n").replace("\r", "\n")[int(named[2])]) == int(named[1], 16)
