"""The tree as a stranger finds it: it names no workplace, its make targets are sound, its version is told."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import runbook

ROOT = Path(__file__).parents[2]
# Pieces, so that this file does not name them itself.
WORKPLACE = re.compile(
    "|".join((r"(?<![\w.$}])/wo" + r"rk/", r"\.\./sha" + r"red\b", r"\bfa" + r"rm\b", r"/opt/py" + r"pi"))
)
OUTSIDE = re.compile(r"https?://[\w.-]*(?:artifactory|nexus|devpi|pypi)[\w.-]*(?<!pypi\.org)[:/]")


def kept():
    """Return the files that are kept: tracked, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is no git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_nothing_names_the_workplace():
    found = []
    for file in kept():
        text = file.read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if WORKPLACE.search(line) or OUTSIDE.search(line):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []


def test_the_rooms_are_linked():
    for room in ("engine", "modules", "runbooks", "schemas"):
        assert (ROOT / "runbook" / room).readlink() == Path("..", room)


@pytest.mark.parametrize("target", ["demo", "test", "check", "schema", "docs", "bench", "dist", "clean", "help"])
def test_make_knows_the_target(target):
    if shutil.which("make") is None:
        assert not os.environ.get("CI")
        pytest.skip("there is no make")
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_make_demo_applies_quickstart_and_make_test_runs_pytest():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "runbook apply quickstart" in makefile
    assert "-m pytest" in makefile
    assert "exec make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_changelog_begins_with_this_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = [found for found in re.findall(r"^## \[([^\]]+)\]", changelog, re.MULTILINE) if found != "Unreleased"]
    assert versions[0] == runbook.__version__


def test_somebodys_own_rooms_are_not_taken_for_ours(tmp_path):
    for room in ("engine", "modules", "runbooks", "schemas"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text("raise RuntimeError('not ours')\n")
    (tmp_path / "runbook.yaml").write_text("- mine\n")
    for argv in (
        [sys.executable, "-m", "runbook", "doc", "health"],
        [sys.executable, "-c", "import runbook; from runbook.engine.cli import main"],
        [str(Path(sys.executable).with_name("runbook")), "lint", "quickstart"],
    ):
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr


def test_the_inventory_example_is_yaml_in_ansibles_shape():
    import yaml

    groups = yaml.safe_load((ROOT / "inventory.example.yaml").read_text(encoding="utf-8"))
    assert list(groups) == ["all"]
    assert set(groups["all"]) <= {"hosts", "vars", "children"}
    for group in groups["all"]["children"].values():
        assert set(group) <= {"hosts", "vars", "children"}


def test_every_file_of_code_is_short():
    long = {
        str(file.relative_to(ROOT)): count
        for room in ("engine", "modules", "bench")
        for file in (ROOT / room).rglob("*.py")
        if (count := len(file.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert long == {}
