import pytest

from odoo.addons.integration_base.lib.spreadsheet import safe_cell


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1+1", "\r=1+1", "\n=1+1"]
)
def test_formulas_become_text(text):
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["", "#1001", "a=b", "'=1", -5, -1.5, None, False, b"=1"])
def test_the_rest_stays(value):
    assert safe_cell(value) == value
