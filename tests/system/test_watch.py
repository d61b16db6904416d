"""`runbook watch`: what happens is seen when it happens, files are read anew, and nothing is lost when it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

import pytest
from watching import PATIENCE, Watching, alive, lines, until

from runbook.engine.journal.store import open_journal

SERVICE = """
name: service
every: 1h
detectors:
  - name: gone
    process: {{match: "{mark}"}}
    when: count == 0
    mode: auto
    verify: {{within: 20s}}
    recover:
      - shell: {{script: "setsid {program} >/dev/null 2>&1 </dev/null & echo restarted >> {home}/acts"}}
"""

LOG = """
name: log
every: 1h
detectors:
  - name: bad line
    log: {{paths: "{home}/logs/*.log", patterns: ["ERROR (?P<what>[a-z]+)"], from: start}}
    subject: "{{{{ what }}}}"
    verify: {{for: 100ms}}
    mode: auto
    recover: [{{shell: {{script: 'echo "$WHAT" >> {home}/acts', env: {{WHAT: "{{{{ incident.what }}}}"}}}}}}]
"""

FILE = """
name: marker
every: {every}
detectors:
  - name: ill
    file: {home}/ill
    when: exists
    mode: auto
    {more}
    verify: {{within: {within}}}
    recover: [{{shell: {{script: "{script}"}}}}]
"""


def marker(cli, name="marker", every="1h", more="", script="rm ill; echo healed >> acts", within="20s"):
    script = script.replace("ill", f"{cli.home}/ill").replace("acts", f"{cli.home}/acts")
    text = FILE.format(home=cli.home, every=every, more=more, script=script, within=within).replace(
        "name: marker", f"name: {name}", 1
    )
    return cli.write(f"{name}.yaml", text)


def test_a_process_that_dies_is_restarted_at_once_though_the_next_look_is_an_hour_away(cli):
    mark = f"sleep 86{os.getpid() % 1000:03}{int(time.time()) % 1000:03}"
    program = subprocess.Popen(mark.split())
    book = cli.write("service.yaml", SERVICE.format(mark=mark, program=mark, home=cli.home))
    try:
        with Watching(cli, book) as watch:
            watch.ready()
            until(lambda: watch.standing().get("listening") == 1)
            died = time.time()
            program.kill()
            program.wait()
            begun = watch.until("step.begun")
            assert begun["at"] - died < 5
            watch.until("incident.ended")
            assert watch.end() == 0
        assert lines(cli.home / "acts") == ["restarted"]
    finally:
        program.kill()
        program.wait()
        subprocess.run(["pkill", "-f", f"^{mark}$"], check=False)


def test_lines_are_acted_on_when_they_are_written_through_rotation_and_in_new_files(cli):
    (cli.home / "logs").mkdir()
    log = cli.home / "logs/app.log"
    log.write_text("all is well\n")
    book = cli.write("log.yaml", LOG.format(home=cli.home))
    with Watching(cli, book) as watch:
        watch.ready()
        for number, word in enumerate(("first", "second", "third", "fourth"), 1):
            if word == "second":
                log.rename(cli.home / "logs/app.log.1")
            if word == "third":
                log = cli.home / "logs/new.log"
            if word == "fourth":
                with log.open("r+") as file:
                    file.truncate()
            with log.open("a") as file:
                file.write(f"ERROR {word}\n")
            until(lambda count=number: len(lines(cli.home / "acts")) == count, told=watch.told)
        watch.until("incident.ended", count=4)
    assert lines(cli.home / "acts") == ["first", "second", "third", "fourth"]


def test_a_hold_is_looked_at_again_when_it_is_long_enough(cli):
    with Watching(cli, marker(cli, more="for: 1s")) as watch:
        watch.ready()
        (cli.home / "ill").touch()
        watch.until("incident.ended")
        opened = watch.facts("incident.opened")[0]
        assert 1.0 <= opened["at"] - opened["data"]["since"] < 6


def test_where_nothing_tells_it_looks_as_often_as_it_is_told_to(cli):
    book = marker(cli, every="1s").read_text()
    book = book.replace(f"file: {cli.home}/ill", f'command: "test -e {cli.home}/ill"')
    path = cli.write("polled.yaml", book.replace("when: exists", "when: exit_code == 0"))
    with Watching(cli, path) as watch:
        watch.ready()
        begun = time.time()
        (cli.home / "ill").touch()
        assert watch.until("step.begun")["at"] - begun < 5


def test_operations_are_carried_out_once_at_the_start_and_finally_at_the_end(cli):
    path = marker(cli)
    path.write_text(
        path.read_text()
        + f"operations:\n  - name: serve\n    shell: {{script: echo served >> {cli.home}/acts}}\n"
        + f"finally:\n  - shell: {{script: echo tidied >> {cli.home}/acts}}\n"
    )
    with Watching(cli, path) as watch:
        watch.until("operation.ended")
        watch.ready()
        path.write_text(path.read_text().replace("healed", "well"))
        watch.until("watch.reloaded")
        (cli.home / "ill").touch()
        watch.until("incident.ended")
        assert lines(cli.home / "acts") == ["served", "well"]
        assert watch.end() == 0
    assert lines(cli.home / "acts") == ["served", "well", "tidied"]


def test_a_changed_runbook_is_read_anew_and_a_bad_one_keeps_the_old_at_work(cli):
    path = marker(cli)
    good = path.read_text()
    with Watching(cli, path) as watch:
        watch.ready()
        for number, spoiled in enumerate(("name: [", good.replace("recover", "recoverr"), None), 1):
            if spoiled is None:
                path.unlink()
            else:
                path.write_text(spoiled)
            refused = watch.until("watch.refused", count=number)
            assert "marker.yaml" in refused["data"]["message"]
            assert "kept" in refused["data"]["message"]
            (cli.home / "ill").touch()
            until(lambda count=number: len(lines(cli.home / "acts")) == count, told=watch.told)
            watch.until("incident.ended", count=number)
        path.write_text(good.replace("healed", "better"))
        watch.until("watch.reloaded")
        (cli.home / "ill").touch()
        watch.until("incident.ended", count=4)
    assert lines(cli.home / "acts") == ["healed"] * 3 + ["better"]


def test_a_runbook_that_can_not_be_read_any_more_is_refused(cli):
    path = marker(cli)
    with Watching(cli, path) as watch:
        watch.ready()
        path.unlink()
        path.mkdir()
        watch.until("watch.refused")
        (cli.home / "ill").touch()
        watch.until("incident.ended")


def test_hup_reads_anew_and_says_so_where_nothing_has_changed(cli):
    with Watching(cli, marker(cli)) as watch:
        watch.ready()
        watch.send(signal.SIGHUP)
        told = watch.until("watch.reloaded")["data"]
        assert told["message"] == "everything was read anew: nothing has changed"
        assert told["whole"]  # about no runbook more than about others


def test_an_inventory_s_program_that_hangs_holds_up_nothing_and_ends_with_the_watch(cli):
    there = '{"_meta": {"hostvars": {"localhost": {"ansible_connection": "local"}}}, "all": {"hosts": ["localhost"]}}'
    hang = f"[ -e {cli.home}/hang ] && echo $$ > {cli.home}/pid && exec sleep 300"
    program = cli.write("hosts.sh", f"#!/bin/sh\n{hang}\necho '{there}'\n")
    program.chmod(0o755)
    with Watching(cli, marker(cli), "-i", program) as watch:
        watch.ready()
        (cli.home / "hang").touch()
        watch.send(signal.SIGHUP)
        until(lambda: lines(cli.home / "pid"), told=watch.told)
        (cli.home / "ill").touch()
        watch.until("incident.ended")
        assert watch.end() == 0
    assert not alive(int(lines(cli.home / "pid")[0]))


PEOPLE = """
name: people
every: 1h
detectors:
  - name: spool
    file: {home}/spool
    when: exists
  - name: ill
    file: {home}/ill
    when: exists
    mode: approve
    recover: [{{shell: {{script: "rm {home}/ill"}}}}]
"""


def test_what_people_say_is_in_the_log_and_check_leaves_to_the_watch_what_it_does(cli):
    path = cli.write("people.yaml", PEOPLE.format(home=cli.home))
    with Watching(cli, path) as watch:
        watch.ready()
        for name in ("spool", "ill"):
            (cli.home / name).touch()
        watch.until("incident.opened", count=2)
        watch.until("incident.changed", detector="ill")
        spool, ill = (watch.facts("incident.opened", detector=name)[0]["incident"] for name in ("spool", "ill"))
        told = cli("status")
        assert "heal it by hand: it has no `recover`" in told.out
        assert "it is watched: `runbook status` says" in cli("check", path).out
        for words in (("ack", spool, "--reason", "mine"), ("maintenance", "localhost", "--for", "1h")):
            assert cli(*words).exit_code == 0
        until(lambda: watch.said("maintenance of localhost by "), told=watch.told)
        assert watch.said("acked by ")[0]["detector"] == "spool"
        assert cli("maintenance", "--off", "localhost").exit_code == 0
        until(lambda: watch.said("the maintenance of localhost is over"), told=watch.told)
        assert cli("approve", ill).exit_code == 0
        watch.until("incident.ended", detector="ill")
        assert watch.said("approved by ")[0]["incident"] == ill
        (cli.home / "spool").unlink()
        watch.until("incident.ended", detector="spool")
        assert watch.end() == 0


def test_a_directory_is_all_its_runbooks_and_what_comes_and_goes_there(cli):
    folder = cli.home / "books"
    folder.mkdir()
    marker(cli).rename(folder / "one.yaml")
    (folder / "one.test.yaml").write_text("cases: []\n")
    with Watching(cli, folder) as watch:
        watch.ready()
        two = marker(cli, "second").read_text().replace(f"{cli.home}/ill", f"{cli.home}/worse")
        (folder / "two.yaml").write_text(two)
        watch.until("watch.reloaded")
        (cli.home / "worse").touch()
        until(lambda: lines(cli.home / "acts") == ["healed"], told=watch.told)
        (folder / "two.yaml").unlink()
        watch.until("watch.removed")
        assert watch.end() == 0


def test_term_lets_the_step_in_hand_end(cli):
    path = marker(cli, script="echo begun >> acts; sleep 1; rm ill; echo healed >> acts")
    (cli.home / "ill").touch()
    with Watching(cli, path, "--grace", "30s") as watch:
        until(lambda: lines(cli.home / "acts") == ["begun"], told=watch.told)
        watch.end()
    assert lines(cli.home / "acts") == ["begun", "healed"]
    (ended,) = watch.facts("step.ended")
    assert ended["data"]["status"] == "done"


@pytest.mark.parametrize("how", ["grace", "kill", "reload"])
def test_a_step_that_is_left_in_hand_is_not_done_twice(cli, how):
    path = marker(cli, script="echo begun >> acts; sleep 3; rm ill; echo healed >> acts")
    (cli.home / "ill").touch()
    with Watching(cli, path, "--grace", "0s") as watch:
        until(lambda: lines(cli.home / "acts") == ["begun"], told=watch.told)
        if how == "reload":
            path.write_text(path.read_text() + "# read me anew\n")
            watch.until("watch.reloaded")
        elif how == "kill":
            watch.kill()
        else:
            watch.end()
        with Watching(cli, path, name="second") if how != "reload" else watch as again:
            ended = again.until("incident.ended")
            assert ended["data"]["to"] == "cured"
    assert lines(cli.home / "acts") == ["begun", "healed"]
    assert len(watch.facts("step.begun")) == 1


def test_it_ends_by_itself_after_the_time_that_it_was_given(cli):
    with Watching(cli, marker(cli), "--max-duration", "1s") as watch:
        assert watch.process.wait(PATIENCE) == 0


def test_a_fault_that_is_left_is_its_exit_code(cli):
    (cli.home / "ill").touch()
    with Watching(cli, marker(cli, every="1s", more="limit: 1 per 1h", script="true", within="1s")) as watch:
        watch.until("incident.ended", seconds=60)
        watch.until("incident.opened", count=2)
        assert watch.end() == 2


def test_once_makes_one_pass(cli):
    (cli.home / "ill").touch()
    done = cli("watch", "--once", marker(cli))
    assert done.exit_code == 0
    assert "cured" in done.out
    assert lines(cli.home / "acts") == ["healed"]


@pytest.mark.parametrize("words", [["nowhere.yaml"], ["--shard", "3/2", "BOOK"], ["--jitter", "soon", "BOOK"]])
def test_what_can_not_be_watched_is_refused_at_once(cli, words):
    book = marker(cli)
    done = cli("watch", *[book if word == "BOOK" else word for word in words])
    assert done.exit_code == 1
    assert "error:" in done.err


def test_two_runbooks_of_one_name_are_refused(cli):
    one, two = marker(cli), cli.home / "two.yaml"
    two.write_text(one.read_text())
    done = cli("watch", one, two)
    assert done.exit_code == 1
    assert "is the name of" in done.err


@pytest.fixture
def small_disk(cli):
    """A disk of 16 MB, and what fills it to its last byte."""
    if os.geteuid() != 0:
        pytest.skip("a small disk needs root, to mount it")
    disk = cli.home / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk], check=True)

    def fill():
        with (disk / "fill").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    try:
        yield disk, fill
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_journal_that_fills_up_lets_it_only_observe_until_there_is_room(cli, small_disk):
    disk, fill = small_disk
    path = marker(cli, every="1s")
    with Watching(cli, path, journal=disk / "journal.db") as watch:
        watch.ready()
        fill()
        (cli.home / "ill").touch()
        until(lambda: watch.said("can't be written"), told=watch.told)
        until(lambda: watch.said("observed"), told=watch.told)
        told = cli("status", env={"RUNBOOK_JOURNAL": str(disk / "journal.db")})
        assert "DIED" not in told.out
        assert lines(cli.home / "acts") == []
        (disk / "fill").unlink()
        watch.until("incident.ended")
        assert watch.end() == 0
    assert lines(cli.home / "acts") == ["healed"]


def test_who_begins_and_reads_anew_on_a_full_disk_does_not_stand_by_for_itself_afterwards(cli, small_disk):
    disk, fill = small_disk
    path = marker(cli, every="1s")
    with Watching(cli, path, journal=disk / "journal.db") as before:
        before.ready()
        before.kill()
    fill()
    with Watching(cli, path, "--retain", "7d", journal=disk / "journal.db") as watch:
        until(lambda: watch.said("can't be written"), told=watch.told)
        (disk / "fill").unlink()
        watch.ready()
        fill()
        (cli.home / "ill").touch()
        until(lambda: len(watch.said("can't be written")) > 1, told=watch.told)
        path.write_text(path.read_text() + "# another\n")
        until(lambda: len(watch.said("can't be written")) > 2, told=watch.told)  # of the post that took its place
        (disk / "fill").unlink()
        watch.until("incident.ended")
        assert not watch.said("stands by")
        assert not watch.said("hangs")
        assert watch.end() == 0
    assert lines(cli.home / "acts") == ["healed"]


def test_a_runbook_that_is_read_anew_is_claimed_without_a_moment_between(cli):
    path = marker(cli)
    with Watching(cli, path) as watch:
        watch.ready()
        path.write_text(path.read_text() + "# another\n")
        watch.until("watch.reloaded")
        with open_journal(str(watch.journal), read_only=True) as journal:
            asked = "SELECT ended, since, successor, epoch FROM watches ORDER BY epoch"
            (first, second) = journal.ask(asked)
        assert first[0] == second[1]  # one transaction: who stands by never finds it free
        assert (first[2], first[3], second[3]) == ("", 1, 2)
        assert not watch.facts("watch.superseded")
        assert watch.end() == 0


def test_a_runbook_that_others_can_change_is_warned_of(cli):
    path = marker(cli)
    path.chmod(0o666)
    with Watching(cli, path) as watch:
        assert "can be changed by others" in watch.until("watch.warned")["data"]["message"]
        assert watch.end() == 0


def test_a_secret_that_is_missing_is_told_before_anything_begins(cli):
    path = marker(cli)
    path.write_text(path.read_text() + "secrets: {token: {env: NOT_THERE_AT_ALL}}\n")
    done = cli("watch", path)
    assert done.exit_code == 1
    assert "NOT_THERE_AT_ALL" in done.err
    assert not (cli.home / "journal.db").exists()


def test_a_copy_of_a_watched_runbook_is_refused_and_the_first_goes_on(cli):
    folder = cli.home / "books"
    folder.mkdir()
    first = folder / "marker.yaml"
    marker(cli).rename(first)
    with Watching(cli, folder) as watch:
        watch.ready()
        (folder / "a-copy.yaml").write_text(first.read_text().replace("healed", "copied"))
        until(lambda: watch.said("is the name of"), told=watch.told)
        (cli.home / "ill").touch()
        watch.until("incident.ended")
        assert watch.standing()["epoch"] == 1
    assert lines(cli.home / "acts") == ["healed"]


def test_a_recovery_that_is_left_in_hand_is_told_and_is_its_exit_code(cli):
    (cli.home / "ill").touch()
    with Watching(cli, marker(cli, script="echo begun >> acts; sleep 2; rm ill"), "--grace", "0s") as watch:
        until(lambda: lines(cli.home / "acts") == ["begun"], told=watch.told)
        assert watch.end() == 2
        assert "1 step on the way" in watch.facts("watch.stopping")[0]["data"]["message"]
