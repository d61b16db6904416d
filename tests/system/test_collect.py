"""Bundles of evidence as a recovery writes them: what is in them, what is not, and who may read them."""

from __future__ import annotations

import json
import os
import tarfile

import pytest

TOKEN = "hf_" + "abcdefghijklmnopQRSTUVWX"  # in two parts: no secret stands in a file
RUNBOOK = """
name: evidence
writable: [{home}/kept]
secrets:
  pass: {{env: SERVER_PASS}}
detectors:
  - name: server failed
    log: {{paths: {home}/server.log, patterns: ['^FATAL (?P<why>.*)'], from: start}}
    recover:
      - collect:
          into: {home}/kept/evidence
          files: [{home}/config.yaml, {home}/gone.yaml]
          logs: [{home}/server.log]
          lines: 5
          keep: {keep}
        register: evidence
      - notify: "evidence is in {{{{ evidence.path }}}}, {{{{ evidence.bytes }}}} bytes"
    verify: {{for: 100ms, within: 1s}}
"""


@pytest.fixture
def ill(cli):
    """A host whose server failed in line 41 of its log, and that has secrets where they are in life."""
    lines = [f"line {number}" for number in range(1, 61)]
    lines[39] = f"connecting to postgres://ops:pa55word-of-db@db/jobs with {TOKEN}"
    lines[40] = "FATAL out of \x1b[31mmemory"
    lines[41] = "the server said: correct-horse-battery"
    cli.write("server.log", "\n".join(lines) + "\n")
    cli.write("config.yaml", "port: 8000\nmax_tokens: 4096\napi_key: very-secret-key-1\n")
    (cli.home / "kept").mkdir()
    return cli.write("evidence.yaml", RUNBOOK.format(home=cli.home, keep=2))


def applied(cli, runbook, **env):
    ran = cli.json("apply", runbook, env={"SERVER_PASS": "correct-horse-battery", **env})
    [incident] = ran.host["incidents"]
    return ran, incident


def opened(bundle):
    with tarfile.open(bundle) as archive:
        members = archive.getmembers()
        return members, {one.name.partition("/")[2]: archive.extractfile(one).read().decode() for one in members}


@pytest.mark.root
@pytest.mark.parametrize("whose", ["strangers", "roots"])
def test_a_file_that_a_strangers_link_leads_to_is_not_shown(cli, ill, whose):
    (cli.home / "config.yaml").rename(cli.home / "real.yaml")
    (cli.home / "config.yaml").symlink_to(cli.home / "real.yaml")
    os.lchown(cli.home / "config.yaml", *((4711, 4711) if whose == "strangers" else (0, 0)))
    _, incident = applied(cli, ill)
    [bundle] = (cli.home / "kept/evidence").iterdir()
    shown = any(name.endswith("config.yaml") for name in opened(bundle)[1])
    assert shown is (whose == "roots")
    what = incident["steps"][0]["actions"][0]["what"]
    assert ("config.yaml: a link of uid 4711 leads to it, and it belongs to uid 0" in what) is not shown


@pytest.mark.root
def test_bundles_of_others_neither_count_nor_go(cli, ill):
    into = cli.home / "kept/evidence"
    into.mkdir()
    theirs = [into / f"evidence-29990101T00000{number}Z-theirs.tar.gz" for number in range(3)]
    for one in theirs:
        one.write_text("not ours")
        os.chown(one, 4711, 4711)
    applied(cli, ill)
    assert all(one.exists() for one in theirs)
    assert len(list(into.iterdir())) == len(theirs) + 1


def test_a_bundle_holds_what_the_host_said_around_the_finding_and_none_of_its_secrets(cli, ill):
    ran, incident = applied(cli, ill)
    assert incident["state"] == "cured", incident
    [bundle] = (cli.home / "kept/evidence").iterdir()
    assert bundle.stat().st_mode & 0o7777 == 0o600
    what = incident["steps"][0]["actions"][0]["what"]
    assert what.startswith(f"write {bundle} (")
    assert f"; not there: {cli.home}/gone.yaml: No such file or directory" in what
    assert f"evidence is in {bundle}, {bundle.stat().st_size} bytes" in ran.out
    members, found = opened(bundle)
    assert {one.mode for one in members} == {0o600}
    finding = next(text for name, text in found.items() if name.startswith("finding/"))
    assert [line.split()[0] for line in finding.splitlines()] == ["39", "40", "41>", "42", "43"]
    assert "FATAL out of \\x1b[31mmemory" in finding
    everything = "".join(found.values())
    assert not [
        one for one in (TOKEN, "pa55word-of-db", "very-secret-key-1", "correct-horse-battery") if one in everything
    ]
    kept = [file for file in cli.home.rglob("*") if file.is_file() and file.name not in {"server.log", "config.yaml"}]
    assert [file for file in kept if b"correct-horse-battery" in file.read_bytes()] == []
    config = next(text for name, text in found.items() if name.endswith("config.yaml"))
    assert config == "port: 8000\nmax_tokens: 4096\napi_key: ***\n"
    assert str(os.getpid()) in found["processes.txt"]
    manifest = json.loads(found["manifest.json"])
    assert (manifest["incident"], manifest["detector"], manifest["runbook"]) == (
        incident["id"],
        "server failed",
        "evidence",
    )
    assert {"source": f"{cli.home}/gone.yaml", "name": None, "error": "No such file or directory"} in manifest["pieces"]
    assert all(one["name"] in found for one in manifest["pieces"] if one["name"])


def test_the_last_bundles_stay_and_what_is_not_ours_does_too(cli, ill):
    place = cli.home / "kept/evidence"
    place.mkdir()
    for name in ("evidence-20250101T000000Z-a1.tar.gz", "evidence-20250102T000000Z-a2.tar.gz", "notes.txt"):
        (place / name).write_text("x")
    applied(cli, ill)
    left = sorted(one.name for one in place.iterdir())
    assert left[0] == "evidence-20250102T000000Z-a2.tar.gz"
    assert (len(left), left[2]) == (3, "notes.txt")


def test_a_bundle_is_as_large_as_it_may_be_and_says_what_is_missing(cli, ill):
    ill.write_text(ill.read_text().replace("lines: 5", "lines: 60\n          max_size: 2kB"))
    applied(cli, ill)
    [bundle] = (cli.home / "kept/evidence").iterdir()
    _, found = opened(bundle)
    manifest = json.loads(found.pop("manifest.json"))
    assert sum(map(len, found.values())) <= 2000
    assert any(one.get("left_out", 0) > 0 for one in manifest["pieces"])


def test_nothing_is_written_outside_of_what_is_writable(cli, ill):
    (cli.home / "elsewhere").mkdir()
    (cli.home / "kept/evidence").symlink_to(cli.home / "elsewhere")
    _, incident = applied(cli, ill)
    assert incident["state"] == "unhealed"
    assert list((cli.home / "elsewhere").iterdir()) == []


def test_check_says_what_would_be_collected_and_writes_nothing(cli, ill):
    ran = cli.json("apply", ill, "--check", env={"SERVER_PASS": "correct-horse-battery"})
    [incident] = ran.host["incidents"]
    assert "server.log around line 41, dmesg" in incident["steps"][0]["actions"][0]["what"]
    assert list((cli.home / "kept").iterdir()) == []
