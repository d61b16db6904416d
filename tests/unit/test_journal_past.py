"""`history` and `stats`: what the journal tells about the past, and how the commands show it."""

import json
import time

import pytest
from click.testing import CliRunner

from runbook.engine.cli import history, stats
from runbook.engine.journal import queries
from runbook.engine.journal.ask import periods, rates
from runbook.engine.journal.facts import Fact, IncidentRow, RunStart
from runbook.engine.journal.queries import Asked
from runbook.engine.journal.store import open_journal

NOW = time.time()
HOUR = 3600.0


def run(journal, name, at, facts=(), *, exit_code=0, ended=True, runbook="llm"):
    journal.begin_run(RunStart(name, runbook, "llm.yaml", "d", "apply", at, "root@here"))
    with journal.transaction() as batch:
        for fact in facts:
            batch.event(fact)
    if ended:
        journal.end_run(name, at + 60.0, exit_code)


def incident(run_id, name, at, *, host="gpu01", detector="server down", to="cured", took=30.0):
    about = {"host": host, "detector": detector, "subject": "vllm", "incident": name}
    step = {"module": "restart_daemon", "title": "restart", "status": "done", "changed": True, "duration": took - 10.0}
    return [
        Fact(
            "incident.opened",
            at,
            run_id,
            **about,
            data={"since": at - 20.0, "fields": {"status": 0}, "when": "status != 200"},
        ),
        Fact("recovery.begun", at, run_id, **about),
        Fact("step.begun", at, run_id, **about, data={"module": "restart_daemon"}),
        Fact("step.ended", at + took - 10.0, run_id, **about, data=step),
        Fact("recovery.ended", at + took, run_id, **about),
        Fact("incident.ended", at + took, run_id, **about, data={"to": to}),
    ]


def attempts(run_id, at, *durations, ok=True):
    return [
        Fact("attempt.ended", at, run_id, host="gpu01", operation="download", data={"ok": ok, "duration": one})
        for one in durations
    ]


@pytest.fixture
def journal(tmp_path):
    with open_journal(str(tmp_path / "journal.db")) as opened:
        for number in range(3):
            run(opened, f"old{number}", NOW - 50 * HOUR + number * 300)
        at = NOW - 2 * HOUR
        run(opened, "r1", at, incident("r1", "i1", at) + attempts("r1", at, 10.0, 20.0))
        at = NOW - HOUR
        facts = incident("r2", "i2", at, host="gpu02", to="unhealed", took=90.0) + attempts("r2", at, 30.0, ok=False)
        run(opened, "r2", at, facts, exit_code=2)
        run(opened, "r3", NOW - 60.0, ended=False)
        with opened.transaction() as batch:
            for name, host, state, opened_at, closed in (
                ("i1", "gpu01", "cured", NOW - 2 * HOUR, NOW - 2 * HOUR + 30.0),
                ("i2", "gpu02", "unhealed", NOW - HOUR, NOW - HOUR + 90.0),
                ("i3", "gpu03", "waiting", NOW - 60.0, None),
            ):
                row = IncidentRow(name, "llm", "server down", host, "vllm", state, "high", opened_at, opened_at, closed)
                batch.incident(row)
        yield opened


def ask(command, journal, *options):
    result = CliRunner().invoke(command, ["--journal", journal.path, *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.output


def test_history_is_newest_first_and_has_what_happened(journal):
    runs = list(queries.history(journal, Asked()))
    assert [one.id for one in runs] == ["r3", "r2", "r1", "old2", "old1", "old0"]
    assert [fact.kind for fact in runs[1].facts] == [
        "incident.opened",
        "recovery.begun",
        "step.ended",
        "incident.ended",
        "attempt.ended",
    ]


@pytest.mark.parametrize(
    ("asked", "runs"),
    [
        (Asked(host="gpu02"), ["r2"]),
        (Asked(detector="server down"), ["r2", "r1"]),
        (Asked(since=NOW - 1.5 * HOUR), ["r3", "r2"]),
        (Asked(runbook="other"), []),
        (Asked(host="gpu02", detector="other"), []),
    ],
)
def test_history_is_narrowed(journal, asked, runs):
    assert [one.id for one in queries.history(journal, asked)] == runs


def test_stats_count_attempts_and_how_long_they_took(journal):
    (rate,) = rates.stats(journal, Asked()).operations
    assert (rate.name, rate.attempts, rate.successes, rate.failures) == ("download", 3, 2, 1)
    assert (rate.mean, rate.p95) == (15.0, 20.0)  # of those that worked
    assert rate.rate == pytest.approx(2 / 3)


def test_stats_of_a_detector_have_time_to_detect_and_to_heal(journal):
    (rate,) = rates.stats(journal, Asked()).detectors
    assert (rate.name, rate.incidents, rate.cured, rate.unhealed, rate.open) == ("server down", 3, 1, 1, 1)
    assert (rate.recoveries, rate.rate) == (2, 0.5)
    assert rate.detect_mean == pytest.approx(20.0)
    assert rate.heal_mean == pytest.approx(30.0)


def test_stats_are_narrowed_by_host(journal):
    found = rates.stats(journal, Asked(host="gpu02"))
    assert [(rate.name, rate.attempts, rate.mean) for rate in found.steps] == [("restart_daemon", 1, 80.0)]
    assert found.operations == ()


def test_steps_that_were_only_planned_or_skipped_do_not_count(journal):
    with journal.transaction() as batch:
        for status in ("planned", "skipped", "failed"):
            data = {"module": "chown", "status": status, "duration": 1.0}
            batch.event(Fact("step.ended", NOW, "r3", host="gpu01", data=data))
    found = {rate.name: rate for rate in rates.stats(journal, Asked()).steps}
    assert (found["chown"].attempts, found["chown"].failures) == (1, 1)


def test_the_95th_percentile_is_the_time_that_19_of_20_stay_within(journal):
    with journal.transaction() as batch:
        for seconds in range(1, 101):
            data = {"ok": True, "duration": float(seconds)}
            batch.event(Fact("attempt.ended", NOW, "r3", host="h", operation="build", data=data))
    found = {rate.name: rate for rate in rates.stats(journal, Asked()).operations}
    assert (found["build"].mean, found["build"].p95) == (50.5, 95.0)


def test_the_history_reads_as_a_story(journal):
    text = ask(history.command, journal)
    assert "llm apply: did not end: it was killed, or runs still\n" in text
    assert "llm apply: 1 unhealed (1m)\n  ✘ server down · vllm on gpu02" in text
    assert "      did   restart\n" in text
    assert "llm: 3 runs since " in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_limited_history_says_that_there_is_more(journal):
    assert ask(history.command, journal, "--limit", "1").endswith("… more before that (--limit shows them)\n")


def test_all_is_shown_when_asked(journal):
    text = ask(history.command, journal, "-v", "--host", "gpu02")
    assert "      saw   status 0\n" in text
    assert "  run r2 by root@here\n" in text


def test_the_history_as_a_document_has_the_runs_as_apply_reported_them(journal):
    document = json.loads(ask(history.command, journal, "--format", "json", "--detector", "server down"))
    assert document["schema"] == 1
    assert [(one["run_id"], one["exit_code"], one["by"]) for one in document["runs"]] == [
        ("r2", 2, "root@here"),
        ("r1", 0, "root@here"),
    ]
    (incident_told,) = document["runs"][0]["hosts"]["gpu02"]["incidents"]
    assert (incident_told["state"], incident_told["steps"][0]["module"]) == ("unhealed", "restart_daemon")


def test_stats_are_tables(journal):
    text = ask(stats.command, journal)
    assert [line.split() for line in text.splitlines()] == [
        ["DETECTOR", "fired", "cured", "unhealed", "open", "rate", "to", "detect", "to", "heal", "p95"],
        ["server", "down", "3", "1", "1", "1", "50%", "20s", "30s", "30s"],
        [],
        ["STEP", "attempts", "ok", "failed", "rate", "mean", "p95"],
        ["restart_daemon", "2", "2", "0", "100%", "50s", "1m20s"],
        [],
        ["OPERATION", "attempts", "ok", "failed", "rate", "mean", "p95"],
        ["download", "3", "2", "1", "67%", "15s", "20s"],
    ]


def test_stats_as_a_document(journal):
    document = json.loads(ask(stats.command, journal, "--format", "json"))
    assert document["operations"][0]["failures"] == 1
    assert document["detectors"][0]["heal_mean"] == pytest.approx(30.0)


@pytest.mark.parametrize("command", [history.command, stats.command])
def test_an_empty_journal_is_said_kindly_and_none_is_made(tmp_path, command):
    path = tmp_path / "none" / "journal.db"
    result = CliRunner().invoke(command, ["--journal", str(path)])
    assert (result.exit_code, result.output.count("Traceback")) == (0, 0)
    assert result.output == f"Nothing yet: there is no journal at {path}. `runbook apply quickstart` begins one.\n"
    assert not path.parent.exists()


@pytest.mark.parametrize("command", [history.command, stats.command])
def test_a_question_without_an_answer_says_how_to_ask_wider(journal, command):
    assert "--since all looks at everything" in ask(command, journal, "--since", "1m", "--host", "nosuch")


def test_a_since_that_is_no_duration_says_what_is(journal):
    result = CliRunner().invoke(history.command, ["--since", "last week"])
    assert result.exit_code == 2
    assert "30s, 10m" in result.output


def test_a_detector_that_nothing_is_known_of_is_told_as_such(journal):
    journal.close()
    options = ["--journal", journal.path, "--detector"]
    misspelt = CliRunner().invoke(history.command, [*options, "servr down"]).output
    assert misspelt == (
        f"Nothing about a detector `servr down` in the journal at {journal.path}: did you mean `server down`?\n"
    )
    strange = CliRunner().invoke(stats.command, [*options, "nosuch"]).output
    assert strange == (
        f"Nothing about a detector `nosuch` in the journal at {journal.path}:"
        " it has never fired, or it has another name\n"
    )


def stopped_run(journal, name, **how):
    begun = {"runbook": "llm", "hosts": ["localhost"], "operations": ["fetch", "build", "serve"], "command": "apply"}
    about = {"host": "localhost", "operation": "fetch"}
    facts = [
        Fact("run.begun", NOW, name, data=begun),
        Fact("operation.ended", NOW, name, **about, data={"state": "succeeded", "attempts": 1, "duration": 2.0}),
        Fact("attempt.begun", NOW, name, host="localhost", operation="build", data={"attempt": 1}),
    ]
    run(journal, name, NOW, facts, **how)


def test_a_run_that_was_stopped_is_told_as_such_with_what_it_left(journal):
    stopped_run(journal, "s1", exit_code=130)
    text = ask(history.command, journal, "--limit", "1")
    assert "llm apply: stopped, 1 operation done (1m)\n  ✔ fetch " in text
    assert "  ! build                                                                stopped\n" in text
    assert "  - serve                                           skipped: the run was stopped\n" in text


def test_a_run_that_was_killed_shows_what_it_was_at(journal):
    stopped_run(journal, "s2", ended=False)
    text = ask(history.command, journal, "--limit", "1")
    assert "llm apply: 1 operation done, did not end: it was killed, or\n                  runs still\n" in text
    assert "  … build                                                                running\n" in text


def test_a_check_that_is_in_the_journal_is_one_with_fix(journal):
    journal.begin_run(RunStart("c1", "llm", "llm.yaml", "d", "check", NOW, "root@here"))
    journal.end_run("c1", NOW + 1.0, 0)
    assert "llm check --fix: well (1s)\n" in ask(history.command, journal, "--since", "1h", "--runbook", "llm")
    document = json.loads(ask(history.command, journal, "--format", "json", "--limit", "1"))
    assert (document["runs"][0]["command"], document["runs"][0]["check"]) == ("check", False)


def test_a_long_headline_is_broken_at_80_columns(journal):
    with journal.transaction() as batch:
        for number, state in enumerate(("waiting", "observed", "suppressed", "open", "verifying", "unhealed")):
            about = {"host": "h", "detector": f"d{number}", "incident": f"x{number}"}
            batch.event(Fact("incident.changed", NOW, "r3", **about, data={"to": state}))
    text = ask(history.command, journal, "--limit", "1")
    assert max(map(len, text.splitlines())) <= 80


def test_what_is_replayed_held_until_it_was_seen_well_and_not_until_it_was_called_cured(tmp_path):
    with open_journal(str(tmp_path / "journal.db")) as journal, journal.transaction() as batch:
        for name, state, data in (
            ("a", "cured", {"well_since": NOW + 8.0}),
            ("b", "cured", {}),
            ("c", "unhealed", {"well_since": NOW + 8.0}),
        ):
            about = (name, "llm", name, "h", "", state, "high", NOW, NOW + 10.0, NOW + 10.0)
            batch.incident(IncidentRow(*about, {"since": NOW, **data}))
        found = periods.periods(journal, "llm", NOW)
    assert [(one.detector, one.until) for one in found] == [("a", NOW + 8.0), ("b", NOW + 10.0), ("c", NOW + 10.0)]
