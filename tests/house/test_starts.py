"""What a command imports before it has met a need for it: the time of a short command is that of its imports."""

import subprocess
import sys

import pytest

RUN = """
import sys
before = set(sys.modules)
sys.argv = ["runbook", *sys.argv[1:]]
from runbook.engine import cli
try:
    cli.main()
except SystemExit as ended:
    assert not ended.code, ended.code
print(*sorted(set(sys.modules) - before), file=sys.stderr)
"""
PLAIN = """
name: plain
writable: [/srv/plain]
limit: 3 per 1h
detectors:
  - name: busy
    health: null
    when: load1 > 100
    for: 1m
    recover:
      - command: {argv: [touch, /srv/plain/flag], creates: /srv/plain/flag}  # noqa: RB035
      - wait: 3s
"""
ROOMS = {"cli", "closed_sets", "configuration", "errors", "language", "model", "people", "report"}
ELSEWHERE = {
    *("asyncio", "concurrent", "email", "html", "http", "logging", "multiprocessing", "socket", "sqlite3", "ssl"),
    *("subprocess", "urllib.request", "xml", "zipfile", "importlib.metadata", "importlib.resources"),
    *("apscheduler", "cryptography", "huggingface_hub", "hyperscan", "jsonschema", "paramiko", "platformdirs"),
    *("psutil", "pynvml", "re2", "rich", "ruamel", "tomlkit"),
}


def imported(cwd, *words):
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.fixture(scope="module")
def linting(tmp_path_factory):
    """What `runbook lint` imports for a plain runbook."""
    place = tmp_path_factory.mktemp("plain")
    (place / "plain.yaml").write_text(PLAIN, encoding="utf-8")
    return imported(place, "lint", "--strict", "plain.yaml")


def test_the_version_is_told_without_typing_or_click(tmp_path):
    assert sorted(imported(tmp_path, "--version") & {"typing", "click", "yaml", "jinja2", "re"}) == []


def test_lint_stays_in_the_rooms_of_the_language(linting):
    assert {name.split(".")[2] for name in linting if name.startswith("runbook.engine.")} <= ROOMS


def test_lint_of_a_plain_runbook_takes_no_library_that_it_does_not_need(linting):
    assert sorted(linting & ELSEWHERE) == []


def test_lint_imports_the_modules_that_a_runbook_names_and_no_other(linting):
    named = {name for name in linting if name.startswith(("runbook.modules.steps.", "runbook.modules.probes."))}
    assert named == {f"runbook.modules.{name}" for name in ("probes.health", "steps.command", "steps.wait")}
    rooms = {name.split(".")[2] for name in linting if name.startswith("runbook.modules.") and name.count(".") > 2}
    assert rooms <= {"steps", "probes", "acting", "evidence", "logs"}
    assert "runbook.modules.evidence.redaction" not in linting  # it compiles what only its own texts are searched with


def test_lint_knows_peril_and_other_files_when_it_meets_them(linting):
    late = ("peril", "drills", "cases", "signatures", "chosen", "manual")
    assert sorted(linting & {f"runbook.engine.language.{name}" for name in late}) == []


def test_status_of_plain_words_is_told_without_click_or_what_reads_runbooks(tmp_path):
    seen = imported(tmp_path, "status", "--journal", str(tmp_path / "journal.db"))
    late = {"click", "inspect", "dataclasses", "pathlib", "urllib.parse", "yaml", "jinja2", "runbook.modules.declare"}
    assert sorted(seen & late) == []
    assert {name.split(".")[3] for name in seen if name.startswith("runbook.engine.language.")} == {"amounts"}
    assert "runbook.engine.model" not in seen
