"""A Slurm that does not answer, or answers what nobody understands, is unknown: its jobs are never taken for well."""

from __future__ import annotations

import pytest
from test_slurm_versions import END, START, sacct, squeue

from runbook.modules.declare import UNSEEN, Absent, Unclear
from runbook.modules.golden.host import FakeHost
from runbook.modules.probes.slurm import Slurm
from runbook.modules.slurm import accounts


def asked(out="", err="", code=0, told="", params=None, state=None):
    """Let the probe look at a Slurm whose squeue prints this, and whose sacct prints `told`."""
    programs = {name: f"/usr/bin/{name}" for name in ("squeue", "sacct", "scontrol", "sinfo")}

    class Asked(FakeHost):
        def run(self, *argv, **_):
            if argv[0] == "squeue":
                return super().run("squeue")
            return super().run(argv[0] if argv[0] != "scontrol" else "scontrol")

    answers = {
        "which": programs, "now": END + 60.0, "uid": 0,
        "run": {
            "squeue": {"exit_code": code, "stdout": out, "stderr": err}, "sinfo": "",
            "sacct": told if isinstance(told, dict) else {"stdout": told},
            "scontrol": {"exit_code": 1, "stderr": "slurm_load_jobs error: Invalid job id specified"},
        },
    }  # fmt: skip
    host = Asked(answers=answers, remembered=state or {"began": START - 3600.0}, env={"PATH": "/usr/bin"})
    host.uid = lambda: 0
    return list(Slurm(**(params or {})).look(host))


@pytest.mark.parametrize(
    "err",
    [
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        "slurm_load_jobs error: Socket timed out on send/recv operation",
        "squeue: error: If munged is up, restart with --num-threads=10",
        "slurm_load_jobs error: Zero Bytes were transmitted or received",
    ],
)
@pytest.mark.parametrize("code", [0, 1])
def test_a_controller_that_does_not_answer_is_unknown_even_where_the_program_says_success(err, code):
    for out, said in (("", err), (err + "\n", "")):
        with pytest.raises(Unclear, match=r"slurm|squeue|munged"):
            asked(out, said, code)


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize(
    "err",
    [
        "sacct: error: Problem talking to the database: Connection refused",
        "sacct: error: slurm_persist_conn_open_without_init: failed to open persistent connection to host:db:6819: Connection refused",
        "sacct: error: Sending PersistInit msg: No error",
    ],
)
def test_an_accounting_that_does_not_answer_is_unknown(err, code):
    for told in ({"exit_code": code, "stderr": err}, {"exit_code": code, "stdout": err}):
        with pytest.raises(Unclear, match=r"database|persistent|Persist"):
            asked(told=told)


def test_a_program_that_prints_something_else_is_unknown_and_never_well():
    with pytest.raises(Unclear, match="what squeue prints is not understood: Welcome to the cluster"):
        asked("Welcome to the cluster\n")
    with pytest.raises(Unclear, match="what sacct prints is not understood"):
        asked(told="JobID|State\n7|FAILED\n")
    assert asked("Welcome to the cluster\n" + squeue("7"))[0].job_id == "7"


def test_a_state_that_no_version_has_is_unknown_and_never_well():
    (record,) = asked(squeue("7", "EXPEDITING"), params={"healthy": False})
    assert (record.job_id, record.state, record.verdict) == ("7", UNSEEN, UNSEEN)


def test_a_row_that_was_cut_short_is_no_job():
    whole = sacct("7", State="FAILED")
    cut = whole[: len(whole) // 2]
    assert accounts.parsed(cut) == []
    assert [job.id for job in accounts.parsed(sacct("6") + cut)] == ["6"]
    with pytest.raises(Unclear):
        asked(told=cut)


def test_a_siblings_job_of_a_federation_waits_and_does_not_fail():
    records = asked(squeue("67109870", "REVOKED") + squeue("134218733", "RUNNING"))
    assert {record.job_id: (record.state, record.verdict) for record in records} == {
        "67109870": ("revoked", None), "134218733": ("running", None),
    }  # fmt: skip


def test_no_slurm_is_absent():
    host = FakeHost(answers={"which": {}}, env={"PATH": "/nowhere"})
    with pytest.raises(Absent, match="there is no Slurm here: squeue is not on the PATH"):
        list(Slurm().look(host))


def test_a_watch_that_was_away_for_a_year_does_not_take_up_what_failed_long_before_it_came_back():
    away = {"began": END - 366 * 86400.0, "cursor": END - 365 * 86400.0, "looked": END - 365 * 86400.0}
    long_ago = sacct("6", State="FAILED", ExitCode="1:0", End=str(END - 8 * 86400))
    lately = sacct("7", State="FAILED", ExitCode="1:0", End=str(END - 6 * 86400))
    assert [record.job_id for record in asked(told=long_ago + lately, state=away)] == ["7"]
    wide = asked(told=long_ago + lately, state=away, params={"since": 30 * 86400.0})
    assert [record.job_id for record in wide] == ["6", "7"]
