"""How many jobs are in each state, each lineage once, whatever the accounting is asked for no more; and when all is over."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from runbook.engine.model import IncidentState, NotSeen, Record, Seen
from runbook.engine.watching.tallies import Tallies, Telling, counting
from runbook.modules.probes.slurm import Slurm
from runbook.modules.slurm import seeing, tally

START = 1_000_000.0
CLOCK = [START]


def seen(first, state, *, ended=None, reason="", job=None):
    return SimpleNamespace(first=first, job=SimpleNamespace(id=job or first, state=state, ended=ended, reason=reason))


def look(kept, jobs, at, wrong=()):
    return tally.counted(kept, jobs, {first: {"state": state} for first, state in dict(wrong).items()}, at)


def test_each_state_has_its_word():
    jobs = [
        *(seen("1", "running"), seen("2", "completing"), seen("3", "pending", reason="Priority")),
        *(seen("4", "pending", reason="Dependency"), seen("5", "pending", reason="DependencyNeverSatisfied")),
        *(seen("6", "completed", ended=START), seen("7", "completed", ended=START), seen("8", "timeout", ended=START)),
        *(seen("9", "cancelled", ended=START), seen("10", "requeue_hold")),
    ]
    found = look({}, jobs, START, {"7": "completed", "8": "timeout", "9": "cancelled"})["counts"]
    assert found == {"completed": 1, "running": 2, "pending": 2, "failed": 2, "blocked": 2, "cancelled": 1}


def test_a_hundred_jobs_stay_a_hundred_however_long_it_takes():
    kept, failed = {}, {}
    for minute in range(300):
        now = START + minute * 60
        horizon = now - seeing.OVERLAP
        jobs = []
        for number in range(100):
            end = START + number * 90
            if end > now:
                jobs.append(seen(str(number), "running"))
            elif end >= horizon:  # what ended before, the accounting is not asked for
                jobs.append(seen(str(number), "failed" if number % 10 == 0 else "completed", ended=end))
            if number % 10 == 0 and end <= now:
                failed[str(number)] = "failed"
        kept = look(kept, jobs, now, failed)
        assert sum(kept["counts"].values()) == 100, minute
        assert len(kept["ended"]) < 12
    assert (kept["counts"]["completed"], kept["counts"]["failed"]) == (90, 10)


def test_a_job_that_another_question_shows_again_is_not_counted_twice():
    kept = look({}, [seen("1", "completed", ended=START)], START)
    kept = look(kept, [], START + 3600)
    kept = look(kept, [seen("1", "completed", ended=START)], START + 3660)
    assert kept["counts"]["completed"] == 1


def test_a_job_that_a_person_runs_again_is_no_more_completed():
    kept = look({}, [seen("1", "completed", ended=START)], START)
    assert look(kept, [seen("1", "running")], START + 5)["counts"] == {
        "completed": 0, "running": 1, "pending": 0, "failed": 0, "blocked": 0}  # fmt: skip


def told(active=0, failed=0, completed=1, records=()):
    counts = {"completed": completed, "running": active, "failed": failed}
    return Seen(tuple(Record("7", dict(each)) for each in records), {"tally": {"counts": counts, "unread": 0}})


def watched(detectors=({},), *, counts=True):
    made = [
        SimpleNamespace(name=f"d{n}", probe="slurm", params={"count": True, **each}) for n, each in enumerate(detectors)
    ]
    return Tallies(Telling(counts=counts, until_done=True), made)


def state(*incidents, tasks=()):
    plan = SimpleNamespace(runbook=SimpleNamespace(detector=lambda name: name), concerns=lambda *_: True)
    return SimpleNamespace(
        tasks=tasks, incidents={n: SimpleNamespace(state=s) for n, s in enumerate(incidents)}, plan=plan
    )


def take(tallies, look, *, after=30.0, acting=False):
    CLOCK[0] += after
    return list(tallies.take("h", {"d0": look}, CLOCK[0], acting=acting))


def test_counts_are_said_when_they_change():
    tallies = watched()
    said = [take(tallies, told(2)), take(tallies, told(2)), take(tallies, told(1, completed=2))]
    assert said == [["completed=1, running=2, failed=0"], [], ["completed=2, running=1, failed=0"]]


def test_it_is_done_when_two_looks_in_a_row_find_nothing_under_way():
    tallies = watched()
    take(tallies, told())
    assert not tallies.done(state(), ["h"])
    take(tallies, told())
    assert tallies.done(state(), ["h"])


def test_looks_that_may_have_shared_one_answer_count_once():
    tallies = watched()
    for _ in range(5):
        take(tallies, told(), after=1.0)
    assert not tallies.done(state(), ["h"])
    take(tallies, told(), after=5.0)
    assert tallies.done(state(), ["h"])


@pytest.mark.parametrize("word", ["PENDING", "OPEN", "RECOVERING", "WAITING"])
def test_it_is_not_done_while_something_may_yet_be_sent(word):
    tallies = watched()
    for _ in range(3):
        take(tallies, told())
    assert not tallies.done(state(IncidentState[word]), ["h"])
    assert tallies.done(state(IncidentState.VERIFYING), ["h"])


@pytest.mark.parametrize("between", ["active", "acting", "stirred", "unknown"])
def test_looks_before_a_step_or_while_nobody_knows_do_not_count(between):
    tallies = watched()
    take(tallies, told())
    if between == "stirred":
        tallies.stir()
    elif between == "unknown":
        take(tallies, NotSeen("the Slurm controller does not answer"))
    else:
        take(tallies, told(active=between == "active"), acting=between == "acting")
    take(tallies, told())
    assert not tallies.done(state(), ["h"])


def test_every_host_has_to_be_done():
    tallies = watched()
    for _ in range(2):
        take(tallies, told())
    assert not tallies.done(state(), ["h", "other"])


@pytest.mark.parametrize(
    ("look", "said"),
    [
        (told(completed=100), "all done: all 100 completed"), (told(completed=1), "all done: the one completed"),
        (told(completed=95, failed=5), "all done: 95 of 100 completed, 5 failed"),
        (told(completed=0), "all done: none was there to wait for"),
    ],
)  # fmt: skip
def test_the_end_is_said_in_a_line(look, said):
    tallies = watched()
    take(tallies, look)
    assert tallies.summary() == said


def test_those_that_were_given_up_are_named_first():
    records = [
        {"job_id": "9", "name": "a", "verdict": "failed", "tries": 3, "held": "", "evidence": ["FAILED 3:0"]},
        {"job_id": "8", "name": "b", "verdict": "oom_host", "tries": 0, "held": "would need 2 TiB", "evidence": []},
        {"job_id": "7", "name": "c", "verdict": "human", "tries": 0, "held": "", "evidence": []},
    ]
    tallies = watched()
    take(tallies, told(failed=2, records=records))
    assert tallies.left() == ["8 (b): oom_host: would need 2 TiB", "9 (a): failed, after 3 resubmissions: FAILED 3:0"]


def test_one_of_the_detectors_that_look_at_the_same_counts():
    from runbook.engine.language import load

    loaded = load.load(load.locate("slurm-recover"))
    given = [each.params.get("count") for each in counting(loaded).detectors]
    assert given == [True, None]
    assert Slurm.counting == "count"
