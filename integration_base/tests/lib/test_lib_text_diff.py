import json

from odoo.addons.integration_base.lib.text_diff import changed_lines, pretty_json


def test_layout_is_canonical_and_keeps_numbers_as_written():
    text = '{"b":12.10,"a":[1,{"c":"\u00e9"}],"e":[],"big":12345678901234567890.5}'
    assert pretty_json(text) == (
        '{\n  "b": 12.10,\n  "a": [\n    1,\n    {\n      "c": "\u00e9"\n    }\n  ],\n  "e": [],\n'
        '  "big": 12345678901234567890.5\n}'
    )


def test_layout_means_the_same():
    value = {"a": None, "b": [True, -1e5, "x\ny"], "c": {}, "d": {"e": '"'}}
    assert json.loads(pretty_json(json.dumps(value))) == value


def test_what_is_no_json_stays():
    assert pretty_json("<xml/>") == "<xml/>"


def test_diff_shows_what_changed_only():
    before = json.dumps({str(n): n for n in range(20)})
    after = json.dumps({str(n): n if n != 7 else "seven" for n in range(20)})
    lines = changed_lines(before, after, context=1)
    assert lines == ["@@", '   "6": 6,', '-  "7": 7,', '+  "7": "seven",', '   "8": 8,']


def test_layout_alone_is_no_change():
    assert changed_lines('{"a": 1}', '{\n"a":1}') == []
