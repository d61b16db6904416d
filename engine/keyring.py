"""Secrets from the keyring of the machine that `runbook` runs on, by the library `keyring` (the extra of that name).

It is asked in a process of its own: a backend may wait for a desktop that is not there, and the engine starts faster
without the library. The value comes through a pipe; the process's argv holds the entry's name only.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

from runbook.engine.errors import UserError

WITHIN: Final = 30.0  # seconds: a keyring that asks a person to unlock it does not answer under cron
_ELSE: Final = "or read the secret by `env` or `file`"
_ASK: Final = """
import json, os, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
def say(**said):
    answers.write(json.dumps(said))
    answers.close()
    sys.exit()
try:
    import keyring, keyring.errors
except ImportError as error:
    say(problem="absent", what=str(error))
try:
    value = keyring.get_password(*sys.argv[1:])
except keyring.errors.NoKeyringError:
    say(problem="none")
except Exception as error:
    say(problem="failed", what=f"{type(error).__name__}: {error}".rstrip(": "))
say(value=value, backend=keyring.get_keyring().name)
"""


def read(entry: str, where: str) -> str:
    """Return the secret that an entry holds.

    Args:
        entry: `SERVICE/USER`, as `keyring get SERVICE USER` has it; what comes after the last slash is the user.
        where: of the runbook, for errors.

    Raises:
        UserError: the library or a backend is not there, the keyring does not answer, or has no such entry.

    Example:
        >>> read("llm-deploy/hf_token", "secrets.hf_token")  # doctest: +SKIP
    """
    service, slash, user = entry.rpartition("/")
    if not (slash and service and user):
        raise UserError(f"`keyring: {entry}` names no entry", where=where, mend="write SERVICE/USER")
    argv = [sys.executable, "-P", "-c", _ASK, service, user]  # -P: nothing is imported from where we were started
    try:
        asked = subprocess.run(  # noqa: S603 -- ourselves
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=WITHIN, check=False
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"the keyring does not answer within {WITHIN:g} s",
            where=where,
            mend=f"it may wait to be unlocked: do so, {_ELSE}",
        ) from None
    try:
        said = json.loads(asked.stdout)
    except ValueError:
        last = asked.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        said = {"problem": "failed", "what": "".join(last) or f"its process ended with {asked.returncode}"}
    if "problem" in said:
        raise _problem(said, where)
    if not said["value"]:
        mend = f"keyring set {service} {user}"
        raise UserError(f"the keyring ({said['backend']}) has no {user} of {service}", where=where, mend=mend)
    return str(said["value"])


def _problem(said: dict[str, str], where: str) -> UserError:
    """Say what hindered us."""
    if said["problem"] == "absent":
        mend = f"pip install 'runbook[keyring]', {_ELSE}"
        return UserError(f"the library `keyring` can't be imported ({said['what']})", where=where, mend=mend)
    if said["problem"] == "none":
        mend = f"install one that needs no desktop and name it in PYTHON_KEYRING_BACKEND, {_ELSE}"
        return UserError("this machine has no keyring that can be used", where=where, mend=mend)
    return UserError(f"the keyring can't be read: {said['what']}", where=where, mend=f"unlock it, {_ELSE}")
