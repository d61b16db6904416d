"""A run that lives and let its lease run out hangs: whoever comes next is told so, and not to wait."""

from __future__ import annotations

from runbook.engine.journal import leases
from runbook.engine.journal.store import open_journal
from runbook.engine.model import Lease

NOW = 1_767_225_600.0


def taken(tmp_path, *, until, released=False):
    journal = open_journal(str(tmp_path / "journal.db"))
    wanted = Lease("host", "vllm", "run1", "root@vm, process 7", "serve", "server down", "i1", taken=NOW, until=until)
    with journal.transaction() as batch:
        lease = leases.take(journal, batch, wanted)
        if released:
            leases.release(batch, lease, NOW)
    return journal


def test_a_lease_that_was_not_renewed_in_time_is_told(tmp_path):
    with taken(tmp_path, until=NOW + 900) as journal:
        found = leases.lapsed(journal, "run1", NOW + 901)
        assert found is not None
        assert (found.detector, found.holder) == ("server down", "root@vm, process 7")


def test_one_that_holds_still_or_was_given_back_or_is_another_runs_is_not(tmp_path):
    with taken(tmp_path, until=NOW + 900) as journal:
        assert leases.lapsed(journal, "run1", NOW + 899) is None
        assert leases.lapsed(journal, "run2", NOW + 901) is None
    (tmp_path / "given").mkdir()
    with taken(tmp_path / "given", until=NOW + 900, released=True) as journal:
        assert leases.lapsed(journal, "run1", NOW + 901) is None
