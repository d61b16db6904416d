"""What runs under another interpreter of the host: `elsewhere` starts it, on one request."""

import os
import sys

from runbook.modules import look, wire
from runbook.modules.acting import step
from runbook.modules.ledger import Ledger


def main() -> None:
    """Be the other interpreter: one request on standard input, the answer on standard output."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what a module prints is no answer
    with os.fdopen(0, "rb", closefd=False) as requests:
        (request,) = wire.Reader().feed(requests.read())
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)

    def write(data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(answers, rest) :]

    if request["kind"] == "look":
        write(look.framed(request["body"], look.look(request["body"]), [], None))
    else:
        step.run(request["body"], Ledger(request["base"]), write)
    sys.stdout.flush()
    os._exit(0)
