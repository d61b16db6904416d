"""Secrets from a real keyring: a file backend, and what is said where there is none."""

import sqlite3
import subprocess
import sys

import pytest

from runbook.engine import keyring
from runbook.engine.errors import UserError

pytest.importorskip("keyring")
pytest.importorskip("keyrings.alt.file")

SECRET = "hf_KeyringKeyringKeyring"
BOOK = """
name: book
secrets: {token: {keyring: llm-deploy/hf_token}}
operations:
  - name: use it
    shell:
      script: 'tr "\\0" "\\n" < /proc/$PPID/cmdline; cat /proc/$$/cmdline; echo "it is $TOKEN"; test "$TOKEN" = "$(cat right)"'
      env: {TOKEN: "{{ secrets.token }}"}
      cwd: "{{ runbook.dir }}"
    timeout: 10s
"""


@pytest.fixture
def ring(cli):
    """A keyring in a file, with one entry."""
    cli.env.update(PYTHON_KEYRING_BACKEND="keyrings.alt.file.PlaintextKeyring", XDG_DATA_HOME=str(cli.home / "data"))
    keep = "import keyring; keyring.set_password('llm-deploy', 'hf_token', input())"
    subprocess.run([sys.executable, "-P", "-c", keep], input=SECRET.encode(), env=cli.env, check=True)
    (cli.home / "right").write_text(SECRET)
    return cli


def test_a_secret_of_the_keyring_reaches_its_step_and_no_argv_output_or_journal(ring):
    ran = ring("apply", ring.write("book.yaml", BOOK), "-v")
    assert ran.exit_code == 0, ran.out + ran.err
    assert "it is ***" in ran.out
    assert SECRET not in ran.out + ran.err
    with sqlite3.connect(ring.home / "journal.db") as journal:
        assert not [line for line in journal.iterdump() if SECRET in line]
    journal.close()


def test_an_entry_that_is_not_there_is_told_with_the_command_that_makes_it(ring):
    ran = ring("apply", ring.write("book.yaml", BOOK.replace("llm-deploy/hf_token", "https://hub.example/x/anna")))
    assert ran.exit_code == 1
    assert "secrets.token: the keyring (file PlaintextKeyring) has no anna of https://hub.example/x" in ran.err
    assert "keyring set https://hub.example/x anna" in ran.err


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}, "this machine has no keyring that can be used"),
        ({"PYTHON_KEYRING_BACKEND": "no.such.Keyring"}, "the keyring can't be read: ModuleNotFoundError"),
        ({"HIDDEN": "keyring"}, "the library `keyring` can't be imported"),
    ],
    ids=["no backend", "a wrong backend", "no library"],
)
def test_a_machine_without_a_keyring_says_what_to_install_or_use_instead(ring, env, said):
    if "HIDDEN" in env:  # a directory without the library's site-packages
        lacks = ring.home / "lacks"
        lacks.mkdir()
        (lacks / "sitecustomize.py").write_text("import sys\nsys.modules['keyring'] = None\n")
        env = {"PYTHONPATH": str(lacks)}
    ran = ring("apply", ring.write("book.yaml", BOOK), env=env)
    assert ran.exit_code == 1
    assert said in " ".join(ran.err.split())
    assert "or read the secret by `env` or `file`" in " ".join(ran.err.split())


def test_a_keyring_that_waits_for_a_person_is_not_waited_for_without_end(ring, monkeypatch):
    lacks = ring.home / "slow"
    lacks.mkdir()
    (lacks / "slowring.py").write_text(
        "import time\nfrom keyring.backend import KeyringBackend\n"
        "class Slow(KeyringBackend):\n    priority = 1\n"
        "    def get_password(self, service, username):\n        time.sleep(60)\n"
        "    def set_password(self, service, username, password):\n        raise NotImplementedError\n"
    )
    monkeypatch.setattr(keyring, "WITHIN", 1.0)
    monkeypatch.setenv("PYTHONPATH", str(lacks))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "slowring.Slow")
    with pytest.raises(UserError, match="does not answer within 1 s"):
        keyring.read("llm-deploy/hf_token", "secrets.token")


def test_a_keyring_of_the_directory_where_it_is_started_is_not_imported(ring):
    (ring.home / "keyring.py").write_text("open('taken', 'w')\n")
    assert ring("apply", ring.write("book.yaml", BOOK)).exit_code == 0
    assert not (ring.home / "taken").exists()


def test_what_names_no_entry_is_a_finding(cli):
    ran = cli("lint", cli.write("book.yaml", BOOK.replace("llm-deploy/hf_token", "hf_token")))
    assert ran.exit_code == 1
    assert "write it as llm-deploy/hf_token" in ran.out
