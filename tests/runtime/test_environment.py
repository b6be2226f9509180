"""What the machine lacks is said in one sentence with the way out."""

import shutil
import socket
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from runtime import browser, core_tests, debian, odoo_source, paths, postgres, schema, server, venv
from runtime.console import EnvironmentProblem
from runtime.project import Project

RELEASE = "version_info = ({major}, 0, 0, FINAL, 0, '')\n"
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test touches the real cache, or sees the machine's settings."""
    monkeypatch.setenv("INTEGRATION_CACHE", str(tmp_path / "cache"))
    for name in (*postgres.PG_VARIABLES, "ODOO_SOURCE", "DEBIAN_ARCHIVE", schema.VARIABLE):
        monkeypatch.delenv(name, raising=False)


def odoo(folder: Path, major: object = 19) -> Path:
    (folder / "odoo").mkdir(parents=True)
    (folder / "odoo" / "release.py").write_text(RELEASE.format(major=major))
    return folder


def test_odoo_source_is_used(tmp_path, monkeypatch):
    folder = odoo(tmp_path / "git")
    (folder / "addons" / "web" / "static").mkdir(parents=True)
    monkeypatch.setenv("ODOO_SOURCE", str(folder))
    found = odoo_source.find()
    assert found.path == folder
    assert found.addons == (folder / "addons",)


@pytest.mark.parametrize("major", [18, "'saas~18'"])
def test_wrong_version_of_odoo(tmp_path, monkeypatch, major):
    monkeypatch.setenv("ODOO_SOURCE", str(odoo(tmp_path / "git", major)))
    with pytest.raises(EnvironmentProblem, match="18.*these addons need 19.0.*ODOO_SOURCE"):
        odoo_source.find()


def test_odoo_source_without_odoo(tmp_path, monkeypatch):
    monkeypatch.setenv("ODOO_SOURCE", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match="holds no odoo/release.py"):
        odoo_source.find()


def test_no_apt(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(EnvironmentProblem, match="no apt.*ODOO_SOURCE"):
        debian.archive()


def indextargets(monkeypatch, *lines: str) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(debian, "run", lambda *args, **kwargs: "\n".join(lines))


def test_archive_of_debian(monkeypatch):
    indextargets(
        monkeypatch,
        "Vendor|https://a.test|https://a.test/x/|all",
        "Debian|http://b.test/debian|http://b.test/debian/|bookworm",
    )
    assert debian.archive() == "http://b.test/debian/"


def test_archive_before_the_first_update(monkeypatch):
    indextargets(monkeypatch, "|http://b.test/debian|http://b.test/debian/|bookworm")
    assert debian.archive() == "http://b.test/debian/"


def test_ubuntu(tmp_path, monkeypatch):
    """The archive comes from Ubuntu's package of python-apt, or from the person."""
    indextargets(monkeypatch, "Ubuntu|http://b.test/ubuntu|http://b.test/ubuntu/|noble")
    templates = tmp_path / "usr/share/python-apt/templates"
    templates.mkdir(parents=True)
    (templates / "Debian.info").write_text("Suite: sid\nBaseURI: http://d.test/debian/\n")
    monkeypatch.setattr(debian, "_own_package", lambda name, problem: tmp_path)
    assert debian.archive() == "http://d.test/debian/"
    monkeypatch.setenv("DEBIAN_ARCHIVE", "http://c.test/debian")
    assert debian.archive() == "http://c.test/debian"


def test_no_debian_archive(monkeypatch):
    def fail(command, problem, **options):
        if "indextargets" in command:
            return "Ubuntu|http://b.test/ubuntu|http://b.test/ubuntu/|noble"
        raise EnvironmentProblem(problem)

    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(debian, "run", fail)
    with pytest.raises(EnvironmentProblem, match="DEBIAN_ARCHIVE.*ODOO_SOURCE"):
        debian.archive()


def test_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 10**12, 10**8))
    with pytest.raises(EnvironmentProblem, match=r"Only 0.1 GB are free.*INTEGRATION_CACHE"):
        paths.prepare()


def test_cache_not_writable(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("INTEGRATION_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(EnvironmentProblem, match="cannot be written.*INTEGRATION_CACHE"):
        paths.prepare()


def test_old_python():
    script = (Path(paths.ROOT) / "run").read_text()
    old = script.replace("(3, 11)", f"({sys.version_info.major + 1}, 0)")
    done = subprocess.run([sys.executable, "-c", old], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("run needs Python 3.11 or newer")
    assert len(done.stderr.splitlines()) == 1


def test_python_too_new(monkeypatch):
    monkeypatch.setattr(sys, "version_info", namedtuple("Version", "major minor micro")(3, 14, 0))
    with pytest.raises(EnvironmentProblem, match="3.11 to 3.13"):
        venv.ensure(odoo_source.OdooSource(Path("x"), (), "19.0", "test"))


@pytest.mark.parametrize("url", ["mysql://x/", "postgresql:///only-a-name", "postgresql://h:port/"])
def test_database_url(url):
    with pytest.raises(EnvironmentProblem, match="--database-url"):
        postgres.connect(Path(sys.executable), url)


def test_database_server_that_does_not_answer():
    port = server.free_port()
    with pytest.raises(EnvironmentProblem, match="does not answer: check PGHOST"):
        postgres.connect(Path(sys.executable), f"postgresql://odoo:x@127.0.0.1:{port}/")


def test_password_of_a_database_url_is_decoded():
    assert postgres.from_url("postgresql://me:p%40ss@db.test:6000/")["PGPASSWORD"] == "p@ss"


def test_taken_port_is_not_free():
    with socket.create_server((server.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        assert not server.is_free(port)
        assert server.free_port(port) > port


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project without an environment of its own."""
    monkeypatch.setattr(Project, "python", Path(sys.executable))
    return Project()


def test_changed_download_is_refused(monkeypatch, project):
    def download(python, folder):
        (folder / "x.tgz").write_bytes(b"something else")
        return folder / "x.tgz"

    monkeypatch.setattr(schema, "_download", download)
    with pytest.raises(EnvironmentProblem, match="is not the known one"):
        schema.ensure(project)


def test_schema_of_a_wrong_folder(tmp_path, monkeypatch, project):
    monkeypatch.setenv(schema.VARIABLE, str(tmp_path))
    with pytest.raises(EnvironmentProblem, match="holds no admin_"):
        schema.ensure(project)


def test_no_network_for_the_schema(monkeypatch, project):
    monkeypatch.setattr(schema, "_npm", lambda python: ["false"])
    with pytest.raises(EnvironmentProblem, match=f"check the network.*{schema.VARIABLE}"):
        schema.ensure(project)


def test_no_browser(monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert browser.find(required=False) is None
    assert "apt-get install chromium" in capsys.readouterr().out
    with pytest.raises(EnvironmentProblem, match="may not be skipped in CI"):
        browser.find(required=True)


def test_service_that_ends_at_once(tmp_path):
    command = [sys.executable, "-c", "import sys; sys.exit('no such thing')"]
    service = server.Service("The thing", command, {}, tmp_path / "log", "http://127.0.0.1:9/")
    with pytest.raises(EnvironmentProblem, match="(?s)The thing ended with 1.*no such thing"):
        service.start()


def test_config_is_for_its_owner_only(tmp_path, monkeypatch):
    project = Project()
    monkeypatch.setattr(Project, "server", postgres.Postgres(tmp_path, {"PGHOST": "h"}, False))
    monkeypatch.setattr(
        Project, "odoo", odoo_source.OdooSource(tmp_path, (tmp_path / "a",), "19.0", "test")
    )
    file = project.write_config(tmp_path / "odoo.conf", workers=2, channels="root:3")
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    assert "db_host = h\n" in text and "workers = 2\n" in text
    assert text.index("[integration]") < text.index("[queue_job]\nchannels = root:3")


def test_fingerprint_follows_content(tmp_path):
    addon = tmp_path / "addon"
    (addon / "tests").mkdir(parents=True)
    (addon / "a.py").write_text("1")
    before = paths.fingerprint(addon)
    (addon / "tests" / "test_a.py").write_text("1")
    assert paths.fingerprint(addon) == before
    (addon / "a.py").write_text("2")
    assert paths.fingerprint(addon) != before


def test_core_baseline(tmp_path, monkeypatch):
    results = tmp_path / "results.json"
    monkeypatch.setenv(core_tests.VARIABLE, str(results))
    monkeypatch.setattr(core_tests, "BASELINES", {"19.0-x": {"sale": 3, "payment": 2}})
    assert core_tests.missing("19.0-x", results) == {"sale": (0, 3), "payment": (0, 2)}
    core_tests.record({"sale": 2, "payment": 2})
    assert core_tests.missing("19.0-x", results) == {"sale": (2, 3)}
    core_tests.record({"sale": 1})
    assert core_tests.missing("19.0-x", results) == {}
    assert core_tests.missing("19.0-y", results) == {}
