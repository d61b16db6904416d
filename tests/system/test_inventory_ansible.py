"""What `runbook inventory` prints of an inventory is what `ansible-inventory` prints, byte for byte."""

import fcntl
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from runbook.engine.cli._commands import runbook

HERE = Path(__file__).parent.parent / "inventories"
sys.path.insert(0, str(HERE))

from cases import CASES, MODES, MORE  # noqa: E402

CALLS = {name: [[*words, *mode] for mode in (*MODES, *MORE.get(name, ()))] for name, words in CASES.items()}


@pytest.fixture(scope="session")
def ansible(tmp_path_factory, worker_id):
    """Ask ansible-core once for all cases and all workers."""
    shared = tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent
    answers = shared / "ansible-inventory.json"
    with (shared / "ansible-inventory.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not answers.exists():
            oracle = [sys.executable, str(HERE / "oracle.py")]
            asked = json.dumps(list(CALLS.items()))
            done = subprocess.run(
                oracle, cwd=HERE, input=asked, capture_output=True, text=True, check=False, timeout=300
            )
            assert done.returncode == 0, done.stderr
            answers.write_text(done.stdout)
    return json.loads(answers.read_text())


@pytest.mark.parametrize("name", CASES)
def test_an_inventory_is_printed_as_ansible_inventory_prints_it(name, ansible, monkeypatch):
    monkeypatch.chdir(HERE)
    monkeypatch.delenv("ANSIBLE_VAULT_PASSWORD_FILE", raising=False)
    for words, (code, wanted) in zip(CALLS[name], ansible[name], strict=True):
        assert code == 0, f"{words}: {wanted}"
        done = CliRunner().invoke(runbook, ["inventory", *words], catch_exceptions=False)
        assert done.stdout == wanted, words
