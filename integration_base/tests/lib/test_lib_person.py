"""What a person is found by, and what is left of a text without them."""

import html
import json
import re
import time
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from odoo.addons.integration_base.lib.person import Person, erased
from odoo.addons.integration_base.lib.redact import MAX_TEXT

EMAIL, PHONE, NAME, STREET = (
    "zoé.canary@example.com",
    "+49 171 2345678",
    "Zoé O'Canary",
    "Canaryweg 7",
)
PERSON = Person.of(
    [EMAIL, PHONE], ["gid://shopify/Customer/450789469", "7"], [NAME, STREET, "Li", None]
)
CANARIES = (EMAIL, PHONE, NAME, STREET)

FRAMES = {
    "alone": "{}",
    "in a sentence": "Several contacts have {}: merge them.",
    "quoted": "'{}' is wrong",
    "behind a line end": "call\n{}\nplease",
}


def written(value):
    """Return the spellings of a value in the texts we keep."""
    return {
        "plain": value,
        "upper case": value.upper(),
        "JSON": json.dumps({"t": f"call\n{value}"}),
        "JSON in JSON": json.dumps({"t": json.dumps({"t": value})}),
        "JSON as it is": json.dumps({"t": value}, ensure_ascii=False),
        "HTML": f"<p>{html.escape(value)}</p>",
        "URL": f"https://shop.example/search?q={quote(value)}",
    }


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("value", CANARIES)
def test_found_and_erased(frame, value):
    for spelling, text in written(FRAMES[frame].format(value)).items():
        assert PERSON.is_in(text), spelling
        # what the database finds before
        assert re.search(PERSON.search_pattern(), text, re.IGNORECASE), spelling
        assert re.search(PERSON.rough_pattern(), text, re.IGNORECASE), spelling
        left = erased(text, PERSON, PERSON.redactor())
        assert not PERSON.is_in(left), (spelling, left)


@pytest.mark.parametrize("text", ["+491712345678", "0049 (171) 234-5678", "49.171.2345678"])
def test_phone_numbers_are_found_however_they_are_grouped(text):
    assert PERSON.is_in(f"phone {text}.")
    assert "2345678" not in erased(f"phone {text}.", PERSON, PERSON.redactor())
    assert Person.of([text.replace("49.", "+49.")]).is_in(f"phone {PHONE}.")


@pytest.mark.parametrize(
    "text",
    ["", None, "anna@example.com", "gid://shopify/Customer/4507894691", "1450789469", "Li", "7"],
)
def test_others_are_not_found(text):
    assert not PERSON.is_in(text)


def test_nobody_is_found_nowhere():
    nobody = Person.of(["", None], [], ["ab"])
    assert nobody == Person()
    assert nobody.search_pattern() == ""
    assert not nobody.is_in("ab")
    assert erased("SO12: 5.00 EUR", nobody, nobody.redactor()) == "SO12: 5.00 EUR"


def test_ids_are_found_and_stay():
    text = json.dumps({"customer": {"id": 450789469}, "email": "x@example.com"})
    assert PERSON.is_in(text, certain=True)
    assert json.loads(erased(text, PERSON, PERSON.redactor())) == {
        "customer": {"id": 450789469},
        "email": "***",
    }


def test_ids_with_escaped_slashes():
    assert PERSON.is_in(r'{"id": "gid:\/\/shopify\/Customer\/450789469"}')
    assert re.search(PERSON.search_pattern(), r"gid:\/\/shopify\/Customer\/450789469")


def test_a_name_alone_may_be_another_one():
    assert PERSON.is_in(f"{NAME} was here")
    assert not PERSON.is_in(f"{NAME} was here", certain=True)
    assert not PERSON.owns(f"{NAME} was here")
    assert PERSON.owns(f"{NAME}, {STREET}")
    assert PERSON.owns(EMAIL)


def test_somebody_whose_address_contains_ours():
    assert not PERSON.is_in(f"an{EMAIL}")
    assert not PERSON.is_in(f"{EMAIL}ics")


def test_a_document_keeps_ids_and_amounts():
    order = {
        "id": 450789469,
        "name": "#1001",
        "total": "12.50",
        "lines": [{"sku": "A-1", "quantity": 2, "price": 6.25}],
        "customer": {"first_name": "Zoé", "note": f"ring at {STREET}"},
        "shipping_address": {"address1": STREET, "country_code": "DE"},
        "gift_message": f"for {NAME.upper()}",
    }
    left = json.loads(
        erased(json.dumps(order, indent=2), PERSON, PERSON.redactor(["gift_message"]))
    )
    assert left == {
        "id": 450789469,
        "name": "#1001",
        "total": "12.50",
        "lines": [{"sku": "A-1", "quantity": 2, "price": 6.25}],
        "customer": {"first_name": "***", "note": "ring at ***"},
        "shipping_address": {"address1": "***", "country_code": "DE"},
        "gift_message": "***",
    }


def test_a_document_without_the_person_stays_byte_for_byte():
    text = '{"b": 1,  "a": "\\u00e4"}'
    assert erased(text, PERSON, PERSON.redactor()) == text


def test_what_is_too_long_to_be_looked_at_goes():
    assert erased("x" * (MAX_TEXT + 1), PERSON, PERSON.redactor()) == "***"
    long = json.dumps([{"email": EMAIL}] * (MAX_TEXT // 20))
    assert json.loads(erased(long, PERSON, PERSON.redactor()))[-1] == {"email": "***"}


def test_broken_json_and_forms():
    for text in (
        f'{{"email": "{EMAIL}", "note": "',
        f"email={quote(EMAIL)}&first_name=Zo",
        f"<a><email>{EMAIL}</email><x>{STREET}</x></a>",
    ):
        left = erased(text, PERSON, PERSON.redactor())
        assert not PERSON.is_in(left), left
        assert "Zo" not in left


def test_excerpts_leave_the_others_out():
    orders = [
        {"id": "gid://shopify/Order/1", "customer": {"id": "gid://shopify/Customer/450789469"}},
        {"id": "gid://shopify/Order/2", "email": "other@example.com"},
        {"id": "gid://shopify/Order/3", "email": EMAIL, "lines": [{"price": "1.00"}]},
    ]
    assert PERSON.excerpts(json.dumps({"data": {"nodes": orders}})) == [
        {"id": "gid://shopify/Customer/450789469"},
        orders[2],
    ]
    assert PERSON.excerpts(f"a\n{EMAIL} b\nc") == [f"{EMAIL} b"]
    assert PERSON.excerpts(None) == PERSON.excerpts('"text"') == []


@pytest.mark.parametrize(
    "text",
    [
        "Jane  Doe ordered",
        "Jane\nDoe",
        "Jane\xa0Doe",
        "Jane&nbsp;Doe",
        "Jane+Doe",
        "Jane%2520Doe",
        "Jane<br/>Doe",
        "by Jos&eacute;&#160;Garc&iacute;a.",
        "by Jos&amp;eacute; Garc&#xED;a",
        "by Jose\u0301 Garci\u0301a",
        "by Jos%C3%A9%20Garc%c3%ada",
        json.dumps({"t": json.dumps({"t": json.dumps({"t": "JOSÉ GARCÍA"})})}),
        '{"t": "Jane  Doe", "t": "somebody else"}',
        json.dumps({"Jane\u2003Doe": 1}),
        json.dumps({"t": "José&nbsp;García"}),
    ],
)
def test_what_is_found_is_what_is_removed(text):
    people = Person.of(names=["Jane Doe", "José García"])
    assert people.is_in(text)
    # what the database finds before
    assert re.search(people.search_pattern(), text, re.IGNORECASE)
    assert re.search(people.rough_pattern(), text, re.IGNORECASE)
    left = erased(text, people, people.redactor())
    assert not people.is_in(left)
    assert not re.search("Jane|Garc", left, re.IGNORECASE)
    if text.startswith("{"):
        json.loads(left)


def test_what_cannot_be_cut_out_is_left_out():
    # letters that need no escape
    for text in ("by %4Aane Doe, 5 EUR", "&#74;ane Doe", r"\u004aane Doe"):
        people = Person.of(names=["Jane Doe"])
        assert people.is_in(text)
        assert erased(text, people, people.redactor()) == "***"
        left = json.loads(erased(json.dumps({"t": text, "n": 5}), people, people.redactor()))
        assert left == {"t": "***", "n": 5}


def test_half_characters_do_not_stop_the_erasure():
    left = erased(r'{"email": "a@example.com", "t": "\ud83d"}', PERSON, PERSON.redactor())
    assert json.loads(left) == {"email": "***", "t": "?"}


def spellings(text):
    """Return a strategy of the ways a text may be written."""

    def ways(char):
        if char == " ":
            return st.sampled_from([" ", "  ", "\n", "\xa0", "\u2003", "&nbsp;", "%20", r"\n", "+"])
        code = f"{ord(char):04x}"
        return st.sampled_from(
            [
                char,
                char.upper(),
                char.lower(),
                html.escape(char),
                quote(char),
                quote(quote(char)),
                rf"\u{code}",
                rf"\\u{code}",
                f"&#{ord(char)};",
                f"&amp;#x{code};",
                f"\\{char}" if char in "'/\"" else char,
            ]
        )

    return st.tuples(*map(ways, text)).map("".join)


@pytest.mark.parametrize(
    ("person", "text", "is_worth_a_look"),
    [
        (PERSON, "nobody we know", False),
        (PERSON, "some canary", True),
        (Person.of(names=["山田太郎様"]), "nobody we know", True),
        (Person.of(ids=["cust-88776655"]), "cust-77", False),
        (Person.of(["+49 171 2345678"]), "49 171 23456", False),
    ],
)
def test_a_rough_look(person, text, is_worth_a_look):
    assert bool(re.search(person.rough_pattern(), text, re.IGNORECASE)) == is_worth_a_look


def test_phone_numbers_between_other_numbers():
    for text in (
        "49 171 2345678",
        "49&#160;171&nbsp;2345678",
        "49%20171%2F2345678",
        "(49)171-2345678",
    ):
        text = f"1, {text}; 2"
        assert PERSON.is_in(text)
        left = erased(text, PERSON, PERSON.redactor())
        assert (left[:3], left[-3:]) == ("1, ", "; 2")
        assert "2345678" not in left
    assert not PERSON.is_in("491 units, 7 boxes, 12345678")


@pytest.mark.parametrize(
    "part",
    [r"\\n", r"\\\\\\n", "%20", "%2520", "&#160;", "&amp;amp;", " ", "+", "<br>", "4 9 ", "é"],
)
def test_no_text_takes_long(part):
    begun = time.monotonic()
    for begin in ("49171", "Zoé", "Canaryweg", "zo"):
        text = begin + part * 5000
        assert not PERSON.is_in(text)
        assert NAME not in erased(f"{text} {NAME}", PERSON, PERSON.redactor())
    assert time.monotonic() - begun < 20


@given(
    st.lists(
        st.sampled_from(CANARIES).flatmap(spellings)
        | st.text(max_size=5)
        | st.sampled_from(['"', "\\", "{", "}", "email: ", "&", "%", " ", " "]),
        max_size=6,
    ),
    st.sampled_from(["{}", '{{"t": "{}"}}', "[{}]", '{{"{}": 1, "t": [1.50]}}']),
    st.integers(0, 2),
)
@example(["zoé.canary@example.com", "Z&amp;#x006f;é O'Canary"], "{}", 0)
def test_nobody_is_found_after_the_erasure(parts, frame, nested):
    # beside a letter it would be part of another word
    text = " ".join(parts)
    for _ in range(nested):
        text = json.dumps({"t": text})
    text = frame.format(text)
    if re.search(PERSON.search_pattern(), text, re.IGNORECASE):
        assert re.search(PERSON.rough_pattern(), text, re.IGNORECASE)
    left = erased(text, PERSON, PERSON.redactor())
    assert not Person(PERSON.contacts, (), PERSON.names).is_in(left), left
    assert not re.search("Canaryweg 7|O'Canary", left, re.IGNORECASE)


@given(
    st.recursive(
        st.none() | st.text(max_size=9) | st.integers() | st.sampled_from(CANARIES),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(max_size=5) | st.sampled_from(CANARIES), inner, max_size=3)
        ),
        max_leaves=12,
    ),
    st.booleans(),
)
def test_no_canary_survives_anywhere(data, ascii_only):
    text = json.dumps(data, ensure_ascii=ascii_only)
    left = erased(text, PERSON, PERSON.redactor())
    assert not any(json.dumps(canary, ensure_ascii=False)[1:-1] in left for canary in CANARIES)
    json.loads(left)
