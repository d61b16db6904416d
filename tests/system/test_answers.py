"""`status`, `explain`, `stats`, `trends` and `history` over what real passes have left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

SICK = r"""
name: sick
writable: ["{home}"]
operations:
  - name: fetch
    command: [sh, -c, "test -e {home}/online || {{ echo connection reset >&2; exit 3; }}"]
    retry: {{strategy: immediate, attempts: 2}}
    component: hub
    timeout: 10s
components: {{hub: {{window: 20, breaker: {{failures: 5, successes: 2, timeout: 1h}}}}}}
detectors:
  - name: network
    error: '(?i)connection'
  - name: never cured
    file: "{home}/ill"
    when: exists
    strategy: progressive
    limit: 2 per 1h
    recover:
      - wait: 50ms
      - command: {{argv: [touch, "{home}/tried"], creates: "{home}/never"}}
    verify: {{every: 100ms, within: 300ms}}
  - name: needs a person
    file: "{home}/big"
    when: exists and size > 3
    mode: approve
    recover: [{{command: {{argv: [rm, "{home}/big"], creates: "{home}/never"}}}}]
    verify: {{within: 2s}}
  - name: not long enough
    file: "{home}/young"
    when: exists and age < 1h
    for: 10m
    recover: [{{command: {{argv: [rm, "{home}/young"], creates: "{home}/never"}}}}]
  - name: lines
    log: {{paths: ["{home}/app.log"], patterns: {{oom: 'out of memory (?P<gpu>\d+)'}}, from: start}}
    count: 3 per 1h
    verify: {{for: 1s}}
    recover: [{{wait: 10ms}}]
  - name: blind
    command: {{argv: [sh, -c, "exit 0"]}}
    when: json.value > 3
    recover: [{{wait: 10ms}}]
  - name: hot
    gpu:
    when: temperature > 85
    recover: [{{wait: 10ms}}]
  - name: here
    file: "{home}/a"
    when: exists
  - name: there
    file: "{home}/b"
    when: exists
  - name: both
    all: [here, there]
    recover: [{{wait: 10ms}}]
  - name: hub ill
    component: hub
    when: level == 'critical'
    mode: observe
    recover: [{{wait: 10ms}}]
"""


@pytest.fixture
def book(cli):
    for name, text in (("ill", ""), ("big", "x" * 10), ("young", ""), ("app.log", "out of memory 3\n"), ("a", "")):
        cli.write(name, text)
    return cli.write("sick.yaml", SICK.format(home=cli.home))


SHARED = {}  # a home in which a pass has been, for tests that only ask; each worker makes its own


@pytest.fixture
def passed(cli, tmp_path_factory):
    if not SHARED:
        shared = type(cli)(tmp_path_factory.mktemp("passed"))
        for name, text in (("ill", ""), ("big", "x" * 10), ("young", ""), ("app.log", "out of memory 3\n"), ("a", "")):
            shared.write(name, text)
        assert shared("apply", shared.write("sick.yaml", SICK.format(home=shared.home))).exit_code == 2
        SHARED["cli"] = shared
    return SHARED["cli"]


def states(told):
    return {one["detector"]: one["state"] for one in told["incidents"]}


def test_before_the_first_pass_there_is_nothing_and_none_is_made(cli):
    ran = cli("status")
    assert (ran.exit_code, ran.out) == (
        0, f"Nothing yet: there is no journal at {cli.home / 'journal.db'}. `runbook apply quickstart` begins one.\n",
    )  # fmt: skip
    assert not (cli.home / "journal.db").exists()


def test_status_tells_what_the_last_pass_left_and_what_is_next(passed):
    ran = passed("status")
    assert ran.exit_code == 2
    assert max(map(len, ran.out.splitlines())) <= 80
    one_line = " ".join(ran.out.split())
    for told in (
        "RUNBOOK LAST PASS sick",
        "never cured · ",
        "why not well after the recovery",
        "needs a person · ",
        "saw exists true, size 10",
        "would command: argv",
        "next `runbook approve ",
        "s of 10m",
        "pending, 1 of 3 times",
        "hub few yet 100% ████████ 2 - closed",
        "fetch on localhost failed",
        "why sh: exit code 3: connection reset",
    ):
        assert told in one_line, (told, ran.out)


def test_the_document_of_status_has_it_all(passed):
    ran = passed.json("status")
    told = ran.json
    assert (told["schema"], told["exit_code"], ran.exit_code) == (1, 2, 2)
    assert states(told) == {"network": "unhealed", "never cured": "unhealed", "needs a person": "waiting"}
    waiting = next(one for one in told["incidents"] if one["state"] == "waiting")
    assert waiting["steps"][0]["params"]["argv"] == ["rm", str(passed.home / "big")]
    assert waiting["digest"]
    assert {one["detector"]: one["wanted"] for one in told["pending"]} == {"not long enough": 1, "lines": 3}
    assert [(one["operation"], one["state"], one["attempts"]) for one in told["operations"]] == [("fetch", "failed", 2)]
    (hub,) = told["components"]
    assert (hub["name"], hub["attempts"], hub["error_rate"], hub["breaker"]["failures"]) == ("hub", 2, 100.0, 2)
    (last,) = told["passes"]
    assert (last["runbook"], last["file"], last["exit_code"], last["at_work"]) == (
        "sick",
        str(passed.home / "sick.yaml"),
        2,
        False,
    )


def test_the_exit_code_is_that_of_what_is_left(cli, book):
    runbook = cli.write("one.yaml", f"""
name: one
detectors:
  - name: asks
    file: {cli.home}/big
    when: exists
    mode: approve
    recover: [{{command: {{argv: [rm, "{cli.home}/big"], creates: "{cli.home}/never"}}}}]
""")  # fmt: skip
    cli("apply", runbook)
    assert cli("status").exit_code == 3
    (cli.home / "big").unlink()
    cli("apply", runbook)
    assert (cli("status").exit_code, cli.json("status").json["incidents"]) == (0, [])
    assert cli("status").out.endswith("\nall is well\n")
    (past,) = cli.json("history", "--incidents").json["incidents"]
    assert (past["state"], past["by_itself"]) == ("cured", True)
    assert "over by itself" in cli("history", "--incidents").out


def test_what_could_not_be_seen_is_exit_4(cli):
    runbook = cli.write("dark.yaml", f"""
name: dark
detectors:
  - name: cant tell
    command: {{argv: [sh, -c, "exit 0"]}}
    when: json.value > 3
    recover: [{{wait: 1ms}}]
  - name: well
    file: {cli.home}/nothing
    when: exists
""")  # fmt: skip
    applied = cli("apply", runbook)
    assert applied.exit_code == 4
    ran = cli("status")
    assert ran.exit_code == 4
    assert "? cant tell on localhost" in ran.out
    assert ran.out.endswith("\n1 unknown\n")


def test_what_is_over_by_the_next_pass_is_not_told_again(cli, book):
    cli("apply", book)
    for name in ("ill", "big", "young"):
        (cli.home / name).unlink()
    cli.write("online", "")
    cli("apply", book)
    assert states(cli.json("status").json) == {}


def test_a_run_that_was_killed_is_told_from_one_at_work(cli):
    runbook = cli.write("slow.yaml", "name: slow\noperations: [{name: long, command: [sleep, 60], timeout: 70s}]\n")
    engine = subprocess.Popen([sys.executable, "-m", "runbook", "apply", str(runbook)], env=cli.env, cwd=cli.home,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        until = time.monotonic() + 30
        while "at work" not in (shown := cli("status")).out:
            assert time.monotonic() < until, shown.out
        assert (shown.exit_code, shown.out.splitlines()[-1]) == (0, "all is well")
    finally:
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(engine.pid)], capture_output=True, text=True, check=False
        )
        engine.kill()
        engine.wait()
        for word in children.stdout.split():
            subprocess.run(["kill", "-9", word], check=False)
    ran = cli("status")
    assert (ran.exit_code, ", did not end\n" in ran.out) == (4, True)
    assert ran.out.endswith("\n1 pass did not end: run it again\n")
    assert cli.json("status").json["passes"][0]["exit_code"] is None


def test_what_was_left_unhealed_is_told_until_a_pass_sees_it_well(cli):
    cli.write("ill", "")
    runbook = cli.write("left.yaml", f"""
name: left
limit: 1 per 1h
detectors:
  - name: stays ill
    file: "{cli.home}/ill"
    when: exists
    recover: [{{command: {{argv: ["true"], creates: "{cli.home}/never"}}}}]
    verify: {{every: 50ms, within: 100ms}}
  - name: other
    file: "{cli.home}/nothing"
    when: exists
""")  # fmt: skip
    assert cli("apply", runbook).exit_code == 2
    for options in (["--detector", "other"], [], ["--detector", "other"]):
        cli("apply", runbook, *options)
        ran = cli.json("status")
        assert (ran.exit_code, list(states(ran.json))) == (2, ["stays ill"]), options
    (cli.home / "ill").unlink()
    assert cli("apply", runbook, "--detector", "other").exit_code == 0
    assert cli("status").exit_code == 2
    assert cli("apply", runbook).exit_code == 0
    ran = cli("status")
    assert (ran.exit_code, ran.out.splitlines()[-1]) == (0, "all is well")


def test_explain_tells_the_story_of_an_incident(passed):
    found = {one["detector"]: one["id"] for one in passed.json("status").json["incidents"]}
    ran = passed("explain", found["never cured"][:5])
    assert ran.exit_code == 0
    assert max(map(len, ran.out.splitlines())) <= 80
    told = [line[10:18].strip() for line in ran.out.splitlines() if line[:2].isdigit() and line[2] == ":"]
    assert told == [
        "opened",
        "decided",
        "recovers",
        "did",
        "looked",
        "looked",
        "in vain",
        "did",
        "looked",
        "looked",
        "unhealed",
    ]
    one_line = " ".join(ran.out.split())
    for said in ("saw exists true", "when exists", "rung 1: wait", "rung 2: command: run touch", "not well: exists true",
                 "rung 1 did not cure it", "state unhealed: not well after the recovery", "of sick ("):  # fmt: skip
        assert said in one_line, (said, ran.out)
    assert "✔ maintenance" in passed("explain", found["never cured"], "-v").out
    document = passed.json("explain", found["never cured"]).json
    assert document["incident"]["state"] == "unhealed"
    assert [one["kind"] for one in document["story"]].count("verified.look") == 4
    guards = next(one["data"]["guards"] for one in document["story"] if one["kind"] == "decided")
    assert all(answer["ok"] for answer in guards)
    step = next(one for one in document["story"] if one["kind"] == "step.begun" and one["data"]["module"] == "command")
    assert step["params"]["argv"] == ["touch", str(passed.home / "tried")]
    operation = passed("explain", found["network"]).out
    assert "attempt   2 of `fetch` failed: sh: exit code 3: connection reset" in operation


WHY = [
    ("never cured", ["the next pass opens an incident, and its recovery begins", "✔ exists: yes (exists true)"]),
    ("not long enough", ["its condition has held for", "of 10m", "wants for 10m", "✔ age < 1h: yes"]),
    ("lines", ["it was seen 1 of 3 times within 1h", "/app.log to byte 16, line 1"]),
    ("blind", ["can't be told", "json.value > 3: unknown"]),
    ("hot", ["there is nothing to look at"]),
    ("both", ["its condition does not hold", "here: yes", "there: no"]),
    ("here", ["it is asked by `both` and opens nothing by itself; its condition holds"]),
    ("hub ill", ["there is nothing to look at: it takes 5 attempts to say anything: `hub` has 2"]),
    ("network", ["it judges failed attempts of operations", "matches: `fetch`", "connection reset"]),
    ("needs a person", ["it has: incident", "is waiting", "approval would refuse"]),
]


def test_explain_tells_why_each_kind_of_detector_does_not_fire(passed):
    for detector, said in WHY:
        ran = passed("explain", detector, "localhost")
        assert ran.exit_code == 0, (detector, ran.err)
        one_line = " ".join(ran.out.split())
        for told in said:
            assert told in one_line, (detector, told, ran.out)
    document = passed.json("explain", "lines").json
    assert (document["schema"], document["detector"], document["host"]) == (1, "lines", "localhost")
    assert (document["fires"], document["count"]) == (False, {"count": 3, "per_s": 3600.0})
    assert document["files"][0]["offset"] == 16
    assert len(document["holds"][0]["times"]) == 1
    assert all(answer["ok"] for answer in document["guards"])


def test_explaining_changes_nothing(cli, book):
    cli("apply", book)
    cli.write("app.log", "out of memory 3\nout of memory 4\n")
    before = cli("export").out
    assert "2 of 3 times" in " ".join(cli("explain", "lines").out.split())
    assert cli("export").out == before


def test_what_nobody_looks_at_now_is_told_from_the_journal(cli, book):
    cli("apply", book)
    told = cli("explain", "not long enough", "--no-look").out
    assert "nobody looked now" in told
    assert "held  " in told
    book.unlink()
    told = cli("explain", "not long enough").out
    assert "look  not now: " in " ".join(told.split()).replace("look not", "look  not")
    assert "it was pending" in " ".join(told.split())


def test_what_is_not_known_is_said(passed):
    for words, said in (
        (["zzz"], "there is neither an incident nor a detector `zzz`"),
        (["here ", "localhost"], "did you mean `here`?"),
        (["here", "localhots"], "no pass of sick ever had a host `localhots`"),
        (["here", "localhots"], "did you mean `localhost`?"),
        (["here", "--runbook", "other"], "nothing about `other` is in the journal yet"),
    ):
        ran = passed("explain", *words)
        assert (ran.exit_code, said in ran.err) == (1, True), ran.err


def test_host_text_can_not_move_the_cursor(cli):
    wild = cli.home / "wild"
    wild.mkdir()
    (wild / "\x1b[2Jred\nline").write_text("x" * 9)
    runbook = cli.write("wild.yaml", f"""
name: wild
detectors:
  - name: wild
    command: {{argv: [sh, -c, "printf '\\\\033[31mred\\\\n'; exit 3"]}}
    when: exit_code != 0
    recover: [{{command: {{argv: [sh, -c, "printf '\\\\033[2J'; exit 1"], creates: "{cli.home}/never"}}}}]
""")  # fmt: skip
    cli("apply", runbook)
    ident = cli.json("status").json["incidents"][0]["id"]
    for words in (
        ["status"],
        ["explain", ident, "-v"],
        ["explain", "wild", "-v"],
        ["history", "--incidents"],
        ["trends"],
    ):
        shown = cli(*words).out
        assert shown
        assert "\x1b" not in shown


def test_history_lists_incidents_by_state(passed):
    shown = passed("history", "--incidents").out
    assert len(shown.splitlines()) == 4
    assert max(map(len, shown.splitlines())) <= 80
    told = passed.json("history", "--state", "unhealed").json["incidents"]
    assert {one["detector"] for one in told} == {"network", "never cured"}
    assert passed.json("history", "--state", "cured").json["incidents"] == []


def test_a_rung_that_never_cured_is_suggested_to_be_left_out(cli):
    cli.write("ill", "")
    text = (
        SICK.format(home=cli.home).partition("operations:")[0]
        + f"""
detectors:
  - name: never cured
    file: "{cli.home}/ill"
    when: exists
    strategy: progressive
    recover: [{{wait: 10ms}}, {{command: {{argv: [rm, "{cli.home}/ill"], creates: "{cli.home}/never"}}}}]
    verify: {{every: 50ms, within: 100ms}}
"""
    )
    runbook = cli.write("trend.yaml", text)
    for _ in range(3):
        cli.write("ill", "")
        assert cli("apply", runbook).exit_code == 0
    shown = " ".join(cli("trends").out.split())
    assert "never cured: rung 1 (wait) never cured it (0 of 3): leave it out" in shown
    told = cli.json("trends").json
    assert {one["kind"] for one in told["suggestions"]} >= {"rung-never-cured", "rung-cures-mostly"}
    (healed,) = told["detectors"]
    assert (healed["attempts"], healed["successes"], healed["direction"]) == (3, 3, "unclear")
    rates = cli.json("stats").json
    assert {one["name"]: one["attempts"] for one in rates["steps"]} == {"wait": 3, "command": 3}


def test_stats_have_components(passed):
    (hub,) = passed.json("stats").json["components"]
    assert (hub["name"], hub["attempts"], hub["failures"], hub["rate"]) == ("hub", 2, 2, 0.0)
    assert "COMPONENT" in passed("stats").out


@pytest.mark.parametrize("columns", [60, 100])
def test_narrow_and_wide_terminals_get_lines_that_fit(passed, columns):
    import pty

    for words in (["status"], ["explain", "not long enough"], ["stats"], ["trends"], ["approvals"]):
        leader, follower = pty.openpty()
        env = {**passed.env, "COLUMNS": str(columns), "TERM": "xterm"}
        with subprocess.Popen(
            [sys.executable, "-m", "runbook", *words], stdout=follower, env=env, cwd=passed.home
        ) as ran:
            os.close(follower)
            shown = b""
            while True:
                try:
                    part = os.read(leader, 65536)
                except OSError:
                    break
                if not part:
                    break
                shown += part
            ran.wait()
        os.close(leader)
        lines = shown.decode().replace("\r", "").splitlines()
        assert lines
        assert max(map(len, lines)) <= columns, words


def test_an_export_has_every_row_and_what_is_old_is_forgotten_when_asked(cli, book):
    cli("apply", book)
    head, *rows = (json.loads(line) for line in cli("export").out.splitlines())
    assert head["schema"] >= 3
    kinds = [row["kind"] for row in rows if row["table"] == "events"]
    assert {"run.begun", "decided", "verified.look", "run.ended"} <= set(kinds)
    waiting = cli.json("status").json
    time.sleep(1.1)  # what was written must be older than a second
    ran = cli("export", "--retain", "1s")
    assert len(ran.out.splitlines()) == len(rows) + 1
    assert "forgot what is older than 1s: " in ran.err
    kept = [json.loads(line) for line in cli("export").out.splitlines()]
    states_kept = {row["state"] for row in kept if row.get("table") == "incidents"}
    assert states_kept == {"waiting"}
    still = next(one["id"] for one in waiting["incidents"] if one["state"] == "waiting")
    assert "refused   waits for approval" in cli("explain", still).out


def test_a_pass_forgets_what_is_old(cli, book):
    cli("apply", book)
    time.sleep(1.1)  # what was written must be older than a second
    ran = cli("apply", book, "--retain", "1s")
    assert "forgot what is older than 1s: " in ran.err
    assert len(cli.json("history", "--since", "all").json["runs"]) == 1


@pytest.mark.parametrize("detector", ["", "detectors: [{name: trouble, error: 'exit code 7', recover: [{wait: 1ms}]}]"])
def test_a_failed_operation_is_told_until_a_pass_carries_it_out(cli, detector):
    script = cli.write("backup.sh", "exit 7\n")
    runbook = cli.write("backup.yaml", f"""
name: backup
operations: [{{name: backup, command: [sh, "{script}"], timeout: 5s}}]
{detector}
""")  # fmt: skip
    assert cli("apply", runbook).exit_code == 2
    cli("check", runbook, "--fix")
    status = cli("status")
    assert status.exit_code == 2
    assert "backup" in status.out
    script.write_text("exit 0\n")
    assert cli("apply", runbook).exit_code == 0
    assert cli("status").exit_code == 0
