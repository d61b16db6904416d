"""Two watches on one journal: one heals, the other stands by and takes over, and nothing is done twice."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

from watching import Watching, lines, until

from runbook.engine.journal.store import open_journal

BOOK = """
name: marker
every: 1s
detectors:
  - name: ill
    file: {home}/ill
    when: exists
    mode: auto
    verify: {{within: 20s}}
    recover:
      - shell: {{script: "{first}"}}
      - shell: {{script: "rm -f {home}/ill; echo two >> {home}/acts"}}
"""
STOPS = (sys.executable, str(Path(__file__).with_name("stopped_before_sending.py")))


def book(cli, first):
    return cli.write("marker.yaml", BOOK.format(home=cli.home, first=first))


def epochs(watch):
    """The epochs of the leases under which steps were sent, by run."""
    with open_journal(str(watch.journal), read_only=True) as journal:
        return dict(journal.ask("SELECT run, max(epoch) FROM intents GROUP BY run"))


def standbys(watch):
    with open_journal(str(watch.journal), read_only=True) as journal:
        return journal.ask("SELECT run FROM watches WHERE ended IS NULL AND epoch = 0")


def test_a_watch_that_hangs_before_it_sends_a_step_is_overtaken_and_sends_in_vain(cli):
    """It lasts for more than ten seconds, since a claim does."""
    path = book(cli, f"echo one >> {cli.home}/acts")
    with Watching(cli, path, before=STOPS, name="first") as first:
        first.ready()
        with Watching(cli, path, name="second") as second:
            until(lambda: standbys(second))
            (cli.home / "ill").touch()
            until(lambda: "T" in Path(f"/proc/{first.pid}/stat").read_text().rpartition(")")[2][:3])
            one = first.standing()
            until(lambda: second.standing().get("epoch") == 2, told=second.told)
            ended = second.until("incident.ended")
            assert (ended["data"]["to"], lines(cli.home / "acts")) == ("cured", ["one", "two"])
            two = second.standing()
            sent = epochs(second)
            assert sent[two["run"]] > sent[one["run"]]
            facts = len(second.facts())
            first.send(signal.SIGCONT)
            assert first.process.wait(20) == 4
            assert "marker` was taken over" in first.err.read_text() or "marker` is watched by" in first.err.read_text()
            assert lines(cli.home / "acts") == ["one", "two"]  # the agents knew of the later lease
            assert not [fact for fact in second.facts()[facts:] if fact["run"] == one["run"]]
            assert second.standing()["run"] == two["run"]
            assert second.end() == 0


def test_a_watch_that_is_killed_is_followed_within_two_intervals_and_its_step_counts(cli):
    path = book(cli, f"echo one >> {cli.home}/acts; sleep 2")
    with Watching(cli, path, name="first") as first:
        first.ready()
        one = first.standing()
        with Watching(cli, path, name="second") as second:
            until(lambda: standbys(second))
            (cli.home / "ill").touch()
            until(lambda: lines(cli.home / "acts"))
            first.kill()
            killed = time.monotonic()
            until(lambda: second.standing().get("epoch") == 2, told=second.told)
            assert time.monotonic() - killed < 2.0 + 1.0  # two intervals, and a second for a busy machine
            assert second.until("incident.ended")["data"]["to"] == "cured"
            assert lines(cli.home / "acts") == ["one", "two"]
            (told,) = second.facts("watch.superseded", run=one["run"])
            assert "died; its last sign of life was at" in told["data"]["message"]
            said = cli("status", "--format", "json")
            (watch,) = json.loads(said.out)["watches"]
            assert (said.exit_code, watch["state"], watch["epoch"]) == (0, "watching", 2)
        assert cli("status").exit_code == 0


def test_a_watch_that_ends_in_good_order_is_followed_and_a_dead_one_is_a_fault(cli):
    path = book(cli, f"echo one >> {cli.home}/acts")
    with Watching(cli, path, name="first") as first:
        first.ready()
        with Watching(cli, path, name="second") as second:
            until(lambda: standbys(second))
            refused = cli("apply", path)
            assert refused.exit_code == 3
            assert "`marker` is watched (`runbook watch` by" in refused.err
            assert f"kill {first.pid}" in refused.err
            assert first.end() == 0
            until(lambda: second.standing().get("epoch") == 2, told=second.told)
            assert not second.facts("watch.superseded")
            second.kill()
        said = cli("status")
        assert said.exit_code == 2
        assert "DIED" in said.out
        assert f"the watch of marker died: runbook watch {path}".replace(" ", "") in "".join(said.out.split())
        assert cli("apply", path).exit_code == 0  # nobody holds it any more
