"""Run by tests: asks ansible-core what it makes of many inventories, in one process with a fork for each.

Reads `[[name, [words, …]], …]` from stdin, and writes `{name: [[exit code, stdout], …]}`.
"""

import contextlib
import io
import json
import os
import sys

os.environ.update(ANSIBLE_LOCALHOST_WARNING="False", ANSIBLE_NOCOLOR="1")

from ansible import context
from ansible.cli.inventory import InventoryCLI
from ansible.parsing.vault import VaultSecretsContext
from ansible.utils.context_objects import CLIArgs

context._init_global_context = lambda options: setattr(context, "CLIARGS", CLIArgs(vars(options)))


def shown(words):
    cli = InventoryCLI(["ansible-inventory", *words])
    VaultSecretsContext._current = None
    out = io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        try:
            cli.run()
        except SystemExit as ended:
            code = ended.code
        except Exception as error:  # noqa: BLE001 -- whatever it says is an answer
            return 1, f"{type(error).__name__}: {error}"
    return code, out.getvalue()


def apart(calls):
    """Answer in a child, since Ansible remembers what it read."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as pipe:
            json.dump([shown(words) for words in calls], pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answers = pipe.read()
    os.waitpid(child, 0)
    return json.loads(answers)


shown(["-i", "a,", "--list"])  # what it loads now is there in every child
json.dump({name: apart(calls) for name, calls in json.load(sys.stdin)}, sys.stdout)
