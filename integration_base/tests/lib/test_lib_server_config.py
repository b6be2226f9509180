from odoo.addons.integration_base.lib.server_config import read_setting


def test_a_setting_of_the_section(tmp_path):
    path = tmp_path / "odoo.conf"
    path.write_text("[options]\nprivate_hosts = other\n[integration]\nprivate_hosts = 10.1.2.3\n")
    assert read_setting(str(path), "private_hosts") == "10.1.2.3"
    assert read_setting(str(path), "encryption_key") == ""


def test_values_are_taken_as_they_are(tmp_path):
    path = tmp_path / "odoo.conf"
    path.write_text("[integration]\nencryption_key = a%(b)s=,c\n")
    assert read_setting(str(path), "encryption_key") == "a%(b)s=,c"


def test_no_file_and_no_section(tmp_path):
    path = tmp_path / "odoo.conf"
    path.write_text("[options]\n")
    assert read_setting(str(path), "encryption_key") == ""
    assert read_setting(None, "encryption_key") == ""
    assert read_setting(str(tmp_path / "none"), "encryption_key") == ""
