"""A watch that does nothing but claim a runbook and say so, in a process that the tests stop, continue and kill."""

import signal
import sys
import time
from types import SimpleNamespace

from runbook.engine.errors import Fenced
from runbook.engine.journal import watches
from runbook.engine.journal.facts import Fact, RunStart
from runbook.engine.journal.locks import Locks
from runbook.engine.journal.store import open_journal
from runbook.engine.keep import Keeper


def watch(path, run, lasts, every):
    """Stand by until the claim is ours, and hold it until it is somebody else's."""
    asked = SimpleNamespace(to_end=False)
    signal.signal(signal.SIGTERM, lambda *_: setattr(asked, "to_end", True))
    with open_journal(path) as journal, Locks(path) as locks:
        assert locks.take(f"run {run}")
        wanted, claim = watches.Claim("llm", "", run, f"ann@desk, {run}"), None
        while not asked.to_end:
            if claim is None:
                claim = watches.take(journal, wanted, locks, time.time(), lasts=lasts, every=every)
                if claim is not None:
                    journal.begin_run(RunStart(run, "llm", "", "", "watch", time.time(), "ann@desk"))
                said = "stands by" if claim is None else f"took {claim.epoch} {claim.why}"
                print(said, flush=True)  # noqa: T201
            elif not watches.beat(journal, claim, time.time(), lasts, {"lag": 0.25}):
                keeper = Keeper(journal, "llm", run, {}, locks=locks, claim=claim)
                try:
                    keeper.fact(Fact("look.unknown", time.time(), run, "h", "late", data={"reason": "late"}))
                except Fenced as error:
                    print(f"fenced: {error.what}", flush=True)  # noqa: T201
                    return error.exit_code
            time.sleep(every)
        watches.release(journal, run, time.time())
    return 0


if __name__ == "__main__":
    sys.exit(watch(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
