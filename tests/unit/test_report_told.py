"""What an operator reads of a fleet: durations that mean something, hosts that were held up, commands to copy."""

import io

import pytest

from runbook.engine.journal.queries import PastRun
from runbook.engine.report import evidence, words
from runbook.engine.report.board import Board
from runbook.engine.report.health import HealthReporter
from runbook.engine.report.lines import INDENT
from runbook.engine.report.paint import Paint
from runbook.engine.report.passes import HostReport
from runbook.engine.report.past import history_lines
from tests.unit.many_hosts import START, a_pass, begun, fact, names, opened, restarted
from tests.unit.test_report_fleet import told

ABOUT = ("0000000a", "server down", "vllm")
CHANGED = (
    "its host key has CHANGED: it shows SHA256:new. Nothing was sent to it\n"
    "somebody else may be answering; if the new key is right: "
    "ssh-keygen -R '[gpu01]:2222' -f /root/.ssh/known_hosts && echo '[gpu01]:2222 ssh-ed25519 AAAA' >> known_hosts"
)


def cured(waited, took):
    """One incident that waited so long for its recovery, which took so long."""
    return [
        begun(["gpu01"]),
        opened("gpu01", 1.0, ABOUT, when="status != 200", fields={"status": 0}),
        fact("recovery.begun", 1.0 + waited, "gpu01", ABOUT),
        fact("step.ended", 1.0 + waited + took, "gpu01", ABOUT, module="restart_daemon", status="done", changed=True),
        fact("incident.ended", 1.0 + waited + took, "gpu01", ABOUT, to="cured", fields={"status": 200}),
    ]


@pytest.mark.parametrize(
    ("waited", "took", "right", "now"),
    [
        (0.0, 4.0, "cured in 4s\n", "now   well again: status 200\n"),
        (3.0, 4.0, "cured in 4s\n", "now   well again: status 200\n"),
        (7200.0, 4.0, "cured in 4s\n", "now   well again: status 200 (it lasted 2h4s in all)\n"),
    ],
)
def test_a_cure_took_as_long_as_its_recovery_and_what_was_waited_for_before_is_told_beside_it(waited, took, right, now):
    text, _ = told(cured(waited, took))
    assert right in text
    assert now in text


def test_hosts_that_a_failure_of_what_is_run_once_held_up_are_not_called_well():
    facts = [begun(names(3), operations=["register", "serve"])]
    facts += [fact("host.looked", 0.0, host) for host in names(3)]
    facts += [
        fact("operation.ended", 1.0, "gpu01", operation="register", state="failed", attempts=1, error="exit code 4")
    ]
    facts += [
        fact("operation.ended", 1.0, host, operation=name, state="skipped", error=said, hindered=True)
        for host in names(3)[1:]
        for name, said in (("register", "it failed on gpu01"), ("serve", "`register` failed on gpu01"))
    ]
    text, code = told(facts)
    assert "- register on 2 hosts                                skipped: it failed on gpu01\n" in text
    assert "- left out   2  gpu02, gpu03\n✘ unhealthy  1  gpu01\n" in text
    assert "well" not in text
    assert code == 2


def test_what_check_says_of_an_operation_names_the_host_whose_words_it_shows():
    facts = [begun(names(3), check=True, operations=["stage"])]
    for host in names(3):
        run = {"action": "run", "what": f"sh /srv/{host}/stage.sh"}
        facts += [
            fact("attempt.ended", 1.0, host, operation="stage", attempt=1, ok=True, module="command",
                 status="planned", changed=False, actions=[run]),
            fact("operation.ended", 1.0, host, operation="stage", state="succeeded", attempts=1),
        ]  # fmt: skip
    text, _ = told(facts)
    assert "would run sh /srv/gpu01/stage.sh (on gpu01, the others alike)\n" in text


def test_a_command_to_copy_stands_in_a_line_of_its_own_however_long_it_is():
    text, _ = told([begun(names(2)), fact("host.unreachable", 1.0, "gpu01", reason=CHANGED)])
    (line,) = [line for line in text.splitlines() if "ssh-keygen" in line]
    assert line == INDENT + CHANGED.rpartition(": ")[2]
    assert max(len(line) for line in text.splitlines() if "ssh-keygen" not in line) <= 80


def test_what_a_host_says_is_never_shown_as_a_command_to_copy():
    end = (
        opened("gpu01", 1.0, ABOUT),
        fact("incident.ended", 2.0, "gpu01", ABOUT, to="unhealed", reason="do: echo evil"),
    )
    text, _ = told([begun(["gpu01"]), *end])
    assert "why   do: echo evil\n" in text
    assert words.command_apart("do: echo evil") == ("do:", "echo evil")  # it would be, were it ours


def test_the_table_of_check_names_why_a_host_can_not_be_reached_and_the_block_below_says_what_to_do():
    facts = [begun(names(3), check=True, command="check"), fact("host.unreachable", 1.0, "gpu01", reason=CHANGED)]
    facts += [fact("look.well", 1.0, host, ("", "disk full", "/")) for host in names(3)[1:]]
    text, _ = told(facts, cls=HealthReporter)
    table, _, below = text.partition("\n\n! gpu01")
    assert "! unreachable             gpu01    its host key has CHANGED\n" in table + "\n"
    assert "ssh-keygen -R" not in table
    assert "ssh-keygen -R" in below


def test_a_text_that_stands_in_the_line_of_a_log_is_not_told_twice():
    seen = {"fields": {"line": "ERROR cuda out of memory", "what": "cuda out of memory", "batch": 512}, "when": "what"}
    assert evidence.sentence(seen) == "ERROR cuda out of memory"
    assert evidence.sentence({**seen, "when": "batch > 1"}) == "ERROR cuda out of memory, batch 512"


def test_history_tells_a_pass_from_the_worst_to_the_best_and_hosts_in_their_order():
    facts = [one for one in a_pass(64) if one.kind != "run.begun"]
    facts.sort(key=lambda one: (one.host != "gpu60", one.host))  # as the last hosts answered first
    run = PastRun("r1", "gpu-health", "apply", START, START + 5, 2, "root@here", tuple(facts))
    text = "\n".join(history_lines(Paint(), [run], limit=1))
    heads = ("! 4 hosts: gpu50-gpu53", "! gpu60", "? gpus present", "✘ server down", "! disk full", "… old", "✔ server")
    places = [text.find(f"\n  {head}") for head in heads]
    assert -1 not in places
    assert places == sorted(places)


def test_the_longest_recovery_of_many_is_not_the_longest_wait():
    facts = [begun(names(2))]
    for number, host in enumerate(names(2)):
        about = (f"0000000{number}", "server down", "vllm")
        facts += [one for one in restarted(host, 1.0, about) if one.kind != "incident.ended"]
        facts += [
            fact("recovery.begun", 100.0 * number, host, about),
            fact("incident.ended", 100.0 * number + 2, host, about, to="cured", when="status != 200"),
        ]
    assert "✔ server down · vllm on 2 hosts: gpu01, gpu02                        cured in 2s\n" in told(facts)[0]


def test_for_whom_recoveries_waited_is_told_where_it_was_long():
    facts = [begun(names(4), max_unavailable="25%")]
    waits = ((0.1, ["gpu02", "gpu03"]), (0.2, ["gpu03"]), (9.2, ["gpu04"]))
    facts += [fact("decisions.held", at, "gpu01", hosts=hosts) for at, hosts in waits]
    end = [fact("recovery.begun", 9.3, "gpu01", ABOUT), fact("incident.ended", 12.0, "gpu01", ABOUT, to="cured")]
    late = "recoveries waited 9.2s for gpu03: who is recovered is decided when all have\nanswered\n"
    assert late in told([*facts, opened("gpu01", 0.1, ABOUT), *end])[0]
    soon = [fact("decisions.held", 9.0, "gpu01", hosts=["gpu03"]), opened("gpu01", 0.1, ABOUT), *end]
    assert "waited" not in told([facts[0], *soon])[0]


def test_the_board_says_that_recoveries_wait_for_those_that_are_awaited():
    board = Board(io.StringIO(), Paint())
    board.begin("gpu-health on 4 hosts", names(4))
    board.follow(fact("decisions.held", 0.1, "gpu01", hosts=["gpu03"]), HostReport("gpu01"))
    assert any("awaited before recoveries begin: 4 hosts" in line for line in board.lines(80, 24))
    board.follow(fact("recovery.begun", 0.2, "gpu01", ABOUT), HostReport("gpu01"))
    assert any("awaited: " in line for line in board.lines(80, 24))
    board.end()
