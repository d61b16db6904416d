"""What a watch was read from: nothing of it changes unnoticed, also not while it is read."""

import os
import time

import pytest
from click.testing import CliRunner

from runbook.engine.cli import _reading
from runbook.engine.cli.new import command as new
from runbook.engine.cli.watch import command
from runbook.engine.language import signatures
from runbook.engine.language.own import enlist
from runbook.engine.watching.reloading import Files

BOOK = """
name: web
secrets: {token: {file: TOKEN}}
vars: {port: 80}
detectors:
  - name: down
    http: http://127.0.0.1/{{ port }}
    when: status != 200
"""


def aged(path, text):
    """Write a file that was written long ago."""
    path.write_text(text)
    os.utime(path, (1, 1))
    return path


def test_what_changes_while_it_is_read_counts_as_changed(tmp_path):
    book = aged(tmp_path / "web.yaml", "name: web\n")
    began = time.time()
    book.write_text("name: web2\n")  # after the reader read it, before anybody looks what it is like
    assert Files([str(book)], began).changed(2.0)


def test_what_changes_while_it_is_read_anew_counts_as_changed_and_what_does_not_is_as_it_was(tmp_path):
    book, other = aged(tmp_path / "web.yaml", "name: web\n"), aged(tmp_path / "other.yaml", "name: other\n")
    files = Files([str(book)])
    os.truncate(book, 0)
    assert files.changed(2.0)
    anew = files.over([str(book)], time.time() + 9)
    assert not anew.changed(4.0)
    book.write_text("name: web3\n")
    assert files.over([str(book), str(other)], time.time() + 9).changed(6.0)


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """Reads what a watch is to watch; returns the digest of its runbook, and the files that it was read from."""
    monkeypatch.setattr(signatures, "_kept", signatures._Kept())
    monkeypatch.setenv("RUNBOOK_SIGNATURES", str(tmp_path / "own.yaml"))
    (tmp_path / "own.yaml").write_text("signatures: []\n")
    (tmp_path / "token").write_text("hunter2\n")
    (tmp_path / "vars.yaml").write_text("port: 8080\n")
    (tmp_path / "web.yaml").write_text(BOOK.replace("TOKEN", str(tmp_path / "token")))
    book = str(tmp_path / "web.yaml")
    words = [book, "-e", f"@{tmp_path / 'vars.yaml'}"]
    given = {**command.make_context("watch", words).params, "diff": False}

    def read(before=None, *, bad=False):
        found = _reading.load(given, None, before, None if before is None else _reading.gather(given))
        assert bool(found.problems) == bad
        return found

    return read, book


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("web.yaml", None),
        ("vars.yaml", "port: 9090\n"),
        ("token", "hunter3\n"),
        ("own.yaml", "signatures: []\n# another\n"),
    ],
)
def test_whatever_a_runbook_was_read_from_makes_it_another(watched, tmp_path, file, text):
    read, book = watched
    first = read()
    assert read(first).digests == first.digests
    assert str(tmp_path / file) in first.files
    path = tmp_path / file
    path.write_text(path.read_text() + "# more\n" if text is None else text)
    assert read(first).digests[book] != first.digests[book]


OWN = """
signatures:
  - {id: mine.bad, title: bad, pattern: BAD, severity: high, category: unknown, role: root}
"""


def test_signatures_that_are_broken_while_a_watch_runs_are_what_they_were_until_they_are_mended(watched, tmp_path):
    read, book = watched
    own, path = tmp_path / "own.yaml", tmp_path / "web.yaml"
    path.write_text(
        "name: web\nvars: {port: 1}\ndetectors:\n  - name: bad\n    log: {paths: /var/log/bad, signatures: [mine.*]}\n"
    )
    own.write_text(OWN)
    first = read()
    own.write_text("signatures: [{")
    assert "own.yaml" in read(first, bad=True).problems[book]
    assert set(signatures.catalogue().signatures) >= {"mine.bad"}
    own.write_text(OWN.replace("mine.bad", "mine.other"))
    read(first)
    assert "mine.other" in signatures.catalogue().signatures
    assert "mine.bad" not in signatures.catalogue().signatures


def test_a_runbook_is_what_was_read_and_not_what_stands_there_a_moment_later(watched, tmp_path, monkeypatch):
    read, book = watched
    first = read()
    path, one = tmp_path / "web.yaml", _reading._one

    def overtaken(*given):
        found = one(*given)
        path.write_text(path.read_text() + "# more\n")
        return found

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(_reading, "_one", overtaken)
        assert read(first).digests == first.digests
    assert read(first).digests[book] != first.digests[book]


def test_modules_of_one_s_own_are_looked_at_too(watched, tmp_path, monkeypatch):
    read, _ = watched
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(enlist, "_folders", {})
    assert CliRunner().invoke(new, ["step", "open_gate"]).exit_code == 0
    module, path = tmp_path / "runbook_modules/steps/open_gate.py", tmp_path / "web.yaml"
    path.write_text(f"{path.read_text()}    recover: [open_gate: {{path: {tmp_path}/flag}}]\nwritable: [{tmp_path}]\n")
    first = read()
    assert {str(module)} == set(first.modules) <= set(first.files)
    module.write_text(f"{module.read_text()}# more\n")
    assert read(first).modules != first.modules
    enlist.forget()
