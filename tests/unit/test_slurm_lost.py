"""A job that was sent again, and that Slurm itself has forgotten: shown as lost when that is certain, and never before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_slurm_versions import END, START, sacct, squeue

from runbook.modules.declare import Failed, Unclear
from runbook.modules.golden.host import FakeHost
from runbook.modules.host import Completed
from runbook.modules.probes.slurm import Slurm
from runbook.modules.slurm import accounts, controller, lost, queue, sent, waiting
from runbook.modules.slurm.sent import Sent

SENT, BOOT = END + 10, END + 12
MARK = "[runbook first=7 after=7 attempt=2 tries=1 : failed]"
FAILED = sacct("7", State="FAILED", ExitCode="1:0")


class Cluster(FakeHost):
    """What Slurm tells, and what time it is."""

    def __init__(self, base):
        super().__init__(remembered={"began": START - 3600.0}, base=str(base), env={"PATH": "/usr/bin"})
        self.queue, self.accounts, self.started, self.following, self.clock = "", FAILED, BOOT, 9, END + 5.0
        self.paused, self.more = 0.0, ""

    def uid(self):
        return 0

    def now(self):
        return self.clock

    def pause(self, seconds):
        self.paused += seconds

    def which(self, program):
        return None if program == "sacct" and self.accounts is None else f"/usr/bin/{program}"

    def run(self, *argv, **_):
        words = " ".join(argv)
        if words == "scontrol show config":
            return Completed(
                0, f"BOOT_TIME               = {self.started}\nNEXT_JOB_ID             = {self.following}\n{self.more}"
            )
        if argv[0] == "squeue":
            return Completed(0, f"{SENT}\n" if words.endswith("--format=%V") else self.queue)
        if argv[0] == "sacct":
            return Completed(0, self.accounts) if isinstance(self.accounts, str) else self.accounts
        return Completed(1, "", "Invalid job id specified") if argv[0] == "scontrol" else Completed(0, "")

    def look(self, after=0.0):
        """Look, so many seconds later."""
        self.clock += after
        found = {record.lineage: record for record in Slurm().look(self)}
        self.remembered, self.kept = json.loads(json.dumps(self.kept)), {}
        return found.get("7")


@pytest.fixture
def cluster(tmp_path):
    """A Slurm whose job 7 failed, for which 9 was sent; then its controller was killed, and knows nothing of 9."""
    made = Cluster(tmp_path)
    assert made.look().verdict == "failed"
    made.clock = SENT + 1.0
    sent.note(made, "9", "7", "7")
    made.clock = BOOT + 5.0
    return made


def test_a_job_whose_number_is_still_to_be_given_out_is_lost_once_nodes_have_told_what_runs_on_them(cluster):
    assert [cluster.look(after).lost for after in (0, 10, 9)] == [0, 0, 0]
    record = cluster.look(2)
    assert (record.job_id, record.verdict, record.lost, record.tries) == ("7", "failed", 1, 0)
    assert "job 9, which was sent in its place, is lost" in record.evidence[-1]
    assert cluster.look(3600).lost == 1, "and that only once"


def test_while_it_is_not_known_whether_a_job_is_lost_not_all_is_done(cluster):
    told = []
    for after in (0, 30):
        cluster.clock += after
        list(Slurm(count=True).look(cluster))
        cluster.remembered, cluster.kept = json.loads(json.dumps(cluster.kept)), {}
        told.append(Slurm.tally(cluster.remembered, ()).active)
    assert told == [1, 0], "lost, it is one that failed, and is sent again"


def test_a_loss_ends_the_verification_of_what_was_sent_and_a_later_one_the_next(cluster):
    opened = {"job_id": "7", "verdict": "failed", "lost": 0, "ended": END}
    assert not Slurm.vain(opened, opened)
    cluster.look()
    for times in (1, 2):
        record = cluster.look(30)
        assert record.lost == times
        assert Slurm.vain({**opened, "lost": times - 1}, {**opened, "lost": record.lost})
        cluster.clock += 100
        made = Sent("9", "7", "7", cluster.clock // 1)  # it gets the same number again
        with Path(cluster.base, "slurm-sent").open("a") as file:
            file.write(json.dumps(made) + "\n")
        cluster.started = cluster.clock + 10
        cluster.clock += 11
        cluster.look()


def test_a_number_that_is_another_jobs_by_now_tells_the_loss_and_that_job_is_not_ours(cluster):
    cluster.following = 30
    cluster.queue = squeue("9", "RUNNING", name="train", submit=str(BOOT + 2))
    records = [cluster.look(after) for after in (0, 25)]
    assert [(one.job_id, one.lost) for one in records] == [("7", 0), ("7", 1)]


def test_what_was_seen_as_ours_is_not_mistaken_for_who_has_its_number_later(cluster):
    cluster.queue = squeue("9", "RUNNING", submit=str(SENT), comment=MARK)
    assert cluster.look().job_id == "9"
    cluster.queue, cluster.started = squeue("9", "RUNNING", submit=str(BOOT + 60), comment="(null)"), BOOT + 50
    cluster.clock = BOOT + 61.0
    assert cluster.look().job_id == "7"
    assert (cluster.look(30).job_id, cluster.look().lost) == ("7", 1), "though no step of this machine's had noted it"


def test_a_loss_is_seen_where_only_a_look_knows_of_the_job(cluster):
    (cluster.queue, cluster.accounts) = squeue("9", "PENDING", submit=str(SENT), comment=MARK), ""
    assert cluster.look().job_id == "9"
    Path(cluster.base, "slurm-sent").unlink()
    cluster.queue = ""
    cluster.look(1)
    assert (cluster.look(30).job_id, cluster.look().lost) == ("7", 1), "and the failed job is shown, long as it is past"


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "COMPLETED", "FAILED"])
def test_a_job_that_the_controller_knows_is_not_lost(cluster, state):
    cluster.queue = squeue("9", state, submit=str(SENT), comment=MARK, end=str(END + 60))
    for after in (0, 60, 2000):
        record = cluster.look(after)
        assert record is None or record.lost == 0


def test_a_job_that_the_accounting_knows_is_not_lost_though_the_controller_forgot_it(cluster):
    cluster.accounts += sacct("9", State="COMPLETED", Submit=str(SENT), End=str(SENT + 1), Comment=MARK)
    assert [(cluster.look(after).job_id, cluster.look().lost) for after in (0, 60, 200)] == [("9", 0)] * 3
    cluster.accounts = FAILED + sacct("9", State="COMPLETED", Submit=str(SENT), End=str(SENT + 1))  # without comments
    assert [cluster.look(after).lost for after in (60, 60)] == [0, 0]


def test_a_controller_that_was_not_started_since_has_lost_nothing_and_an_accounting_that_is_late_is_waited_for(cluster):
    cluster.started, cluster.following = START, 30
    assert [cluster.look(after).lost for after in (0, 60, 3600)] == [0, 0, 0]
    cluster.started = BOOT
    assert cluster.look(1).lost == 1, "it was away for longer than any accounting is late"


def test_after_a_start_the_accounting_has_a_quarter_of_an_hour_where_numbers_tell_nothing(cluster):
    cluster.following = 30
    assert [cluster.look(after).lost for after in (0, 60, 800, 60)] == [0, 0, 0, 1]


def test_what_a_controller_would_still_know_is_lost_whoever_used_up_its_number(cluster):
    cluster.following, cluster.more = 30, "MinJobAge               = 300 sec\n"  # each --test-only takes one, too
    assert [cluster.look(after).lost for after in (0, 25)] == [0, 1]
    lost.guard(cluster, ended(), [])


def test_what_may_have_ended_and_been_forgotten_in_time_is_not_lost(cluster):
    cluster.following, cluster.more = 30, "MinJobAge               = 5 sec\n"
    assert [cluster.look(after).lost for after in (0, 25)] == [0, 0]
    cluster.started, cluster.more = START, "MinJobAge               = 300 sec\n"
    assert cluster.look(25).lost == 0, "nor without a start"


def test_without_an_accounting_only_numbers_tell(cluster):
    cluster.accounts, cluster.following = None, 30
    cluster.queue = squeue("7", "FAILED", submit=str(START), end=str(END))
    assert [cluster.look(after).lost for after in (0, 2000, 4000)] == [0, 0, 0]
    cluster.following = 9
    assert cluster.look().lost == 1


@pytest.mark.parametrize("which", ["queue", "accounts", "config"])
def test_where_slurm_does_not_answer_nothing_is_lost(cluster, which):
    cluster.look()
    run = cluster.run
    broken = {"queue": "squeue", "accounts": "sacct", "config": "scontrol show config"}[which]
    cluster.run = lambda *argv, **_: (
        Completed(1, "", "error: Unable to contact slurm") if " ".join(argv).startswith(broken) else run(*argv)
    )
    with pytest.raises(Unclear, match="does not answer"):
        cluster.look(100)


def test_a_job_that_failed_again_under_its_own_number_after_another_was_sent_waits_for_none(cluster):
    cluster.accounts = sacct("7", State="FAILED", ExitCode="1:0", Submit=str(SENT + 5), End=str(SENT + 60))
    cluster.clock = SENT + 70.0
    record = [cluster.look(after) for after in (0, 60)][-1]
    assert (record.job_id, record.lost) == ("7", 0)
    opened = {"job_id": "7", "verdict": "failed", "lost": 0, "ended": END}
    assert Slurm.vain(opened, {**opened, "ended": record.ended}), "that run has failed anew"


def ended(job="7"):
    return next(one for one in accounts.parsed(FAILED) if one.id == job)


def test_a_step_sends_no_second_job_while_the_first_may_still_turn_up(cluster):
    cluster.following = 30
    for started in (START, BOOT):
        cluster.started = started
        with pytest.raises(Failed, match="job 7 was sent again as 9, which Slurm does not tell of now"):
            lost.guard(cluster, ended(), [])
    cluster.clock += 1000
    lost.guard(cluster, ended(), [])
    cluster.clock -= 1000
    lost.guard(cluster, ended(), queue.parsed(squeue("9", "RUNNING", submit=str(BOOT + 2))))
    cluster.following = 9
    lost.guard(cluster, ended(), [])


def test_a_step_waits_until_nodes_have_told_a_new_controller_what_runs_on_them(cluster):
    assert lost.guard(cluster, ended(), [])
    assert cluster.paused == lost.GRACE - 5
    cluster.clock += 100
    assert not lost.guard(cluster, ended(), [])
    assert cluster.paused == lost.GRACE - 5, "only a new one"


def test_who_was_told_to_wait_for_what_is_lost_waits_for_what_follows_and_who_waits_for_another_with_its_number_does_not(
    cluster,
):
    waits = {"dependency": "afterok:9(unfulfilled)", "reason": "Dependency"}
    cluster.queue = squeue("8", submit=str(START), **waits) + squeue("20", submit=str(SENT + 60), **waits)
    told = []
    run = cluster.run
    cluster.run = lambda *argv, **_: (
        (told.append(argv[2:]), Completed(0, ""))[1] if argv[:2] == ("scontrol", "update") else run(*argv)
    )
    assert [one.job for one in sent.instead(cluster, "7", "30")] == ["9"]
    assert sent.instead(cluster, "7", "9") == []
    assert waiting.move(cluster, "9", "30", before=SENT) == 1
    assert told == [("JobId=8", "Dependency=afterok:30")]


@pytest.mark.parametrize(
    ("following", "number", "never"),
    [
        (9, 9, True), (9, 8, False), (9, 5000, True), (1, 67_000_000, False), (None, 9, False),
        (134217737, 134217737, True), (9, 134217737, True), (134217740, 134217737, False),
    ],
)  # fmt: skip
def test_numbers_that_begin_anew_and_those_of_a_federation_are_told_from_what_is_still_to_come(
    following, number, never
):
    assert controller.Controller(None, following).never_gave(number) is never


def test_what_was_noted_is_read_again_and_what_is_spoiled_is_left_out(tmp_path):
    host = Cluster(tmp_path)
    for number in range(3):
        sent.note(host, f"{number}_4", "7_4", "7_4")
    with (tmp_path / "slurm-sent").open("a") as file:
        file.write('["1", "2"\nnull\n{"a": 1}\n[1, 2, 3, "x"]\n')
    assert [(one.job, one.number, one.at) for one in sent.known(host)] == [(f"{n}_4", n, SENT) for n in range(3)]
    assert sent.known(FakeHost()) == []


def test_what_is_noted_stays_small(tmp_path, monkeypatch):
    monkeypatch.setattr(sent, "_LARGEST", 500)
    host = Cluster(tmp_path)
    for number in range(100):
        sent.note(host, str(number), "7", "7")
    assert (tmp_path / "slurm-sent").stat().st_size <= 500
    assert sent.known(host)[-1].job == "99"
