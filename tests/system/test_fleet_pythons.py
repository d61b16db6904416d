"""One pass over hosts with different Pythons, from the oldest that an agent runs on to the newest that is here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import sshds

WANTED = ((3, 9), (3, 10), (3, 11), (3, 12), (3, 13))
BOOK = """
name: pythons
hosts: all
detectors:
  - name: ill
    file: "{{ root }}/ill"
    when: exists
    limit: 9 per 1h
    recover: [{command: [rm, "{{ root }}/ill"]}]
  - name: memory
    health:
    when: memory_available < 1MB
    recover: [{notify: no memory is left}]
  - name: errors
    log: {paths: "{{ root }}/log", patterns: {oom: 'CUDA out of memory'}, from: start}
    when: signature == 'oom'
    verify: {for: 1s}
    mode: observe
    recover: [{notify: out of memory}]
  - name: workers
    process: {match: no-such-worker-anywhere}
    when: count > 4
    recover: [{notify: too many workers}]
"""


def pythons():
    """By version, the interpreters of this machine that a host could have."""
    places = [Path(sys.executable), Path("/usr/bin/python3"), *Path.home().glob(".pyenv/versions/*/bin/python")]
    found = {}
    for path in places:
        if path.exists():
            said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
            if version := re.fullmatch(r"Python (\d+)\.(\d+)\.\S+\s*", said):
                found.setdefault(tuple(map(int, version.groups())), path)
    return {version: found[version] for version in WANTED if version in found}


def test_hosts_with_any_python_from_3_9_on_are_looked_at_and_healed(cli, tmp_path):
    if lacks := sshds.lacking():
        pytest.skip(lacks)
    known = pythons()
    assert sys.version_info[:2] in known
    with sshds.running(tmp_path / "hosts", len(known)) as hosts:
        text = hosts.inventory.read_text()
        for host, path in zip(hosts.values(), known.values(), strict=True):
            root = host.place / "root"
            root.mkdir()
            (root / "ill").touch()
            (root / "log").write_text("step 1\nRuntimeError: CUDA out of memory\n")
            more = f"root: {root}, ansible_python_interpreter: {path}"
            text = text.replace(f"agent_dir: {host.agent_dir}}}", f"agent_dir: {host.agent_dir}, {more}}}")
        hosts.inventory.write_text(text)
        ran = cli.json("apply", cli.write("pythons.yaml", BOOK), "-i", hosts.inventory)
        assert ran.exit_code == 2, ran.out + ran.err  # what is only observed is left
        for name, host in ran.json["runs"][0]["hosts"].items():
            states = {incident["detector"]: incident["state"] for incident in host["incidents"]}
            assert states == {"ill": "cured", "errors": "observed"}, (name, host)
            assert not host["unknown"], (name, host)
            assert not host["absent"], (name, host)
