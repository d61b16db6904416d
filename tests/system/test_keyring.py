"""Secrets from a real keyring: a file backend, and what is said where there is none."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("keyring")
pytest.importorskip("keyrings.alt.file")

SECRET = "hf_KeyringKeyringKeyring"
BOOK = """
name: book
secrets: {token: {keyring: llm-deploy/hf_token}}
operations:
  - name: use it
    command: [sh, -c, 'test "$TOKEN" = "$WANTED" && echo "it is $TOKEN"']  # noqa: RB035
    env: {TOKEN: "{{ secrets.token }}", WANTED: "%s"}
    timeout: 10s
""".replace("    env:", "    env:")


@pytest.fixture
def ring(cli):
    """A keyring in a file, with one entry."""
    cli.env["PYTHON_KEYRING_BACKEND"] = "keyrings.alt.file.PlaintextKeyring"
    keep = "import keyring; keyring.set_password('llm-deploy', 'hf_token', input())"
    subprocess.run([sys.executable, "-P", "-c", keep], input=SECRET.encode(), env=cli.env, check=True)
    return cli
