# ruff: noqa: PTH115, PTH208
# os and not pathlib: names are compared as the kernel tells them
import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from runbook.modules.acting import held
from runbook.modules.acting.hands import HEAD, TAIL, Hands, Output
from runbook.modules.acting.perform import Performance
from runbook.modules.actions import Do, Run, Signal, Target, Until
from runbook.modules.declare import Failed, Refused, Unclear

STUBBORN = "import signal,sys,time;signal.signal(15,signal.SIG_IGN);print('up',flush=True);time.sleep(60)"


@pytest.fixture
def hands(tmp_path):
    made = Hands([str(tmp_path)], lambda _: None, lambda _: None)
    yield made
    made.close()


def do(hands, *actions, check=False):
    performance = Performance(hands, actions)
    performance.check() if check else performance.carry_out()
    return hands.actions


def started(pid):
    return held.stat(pid).started


def wait_for(holds, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.005)


@pytest.fixture
def sleeper():
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_a_program_is_run_without_a_shell_and_its_output_is_kept(hands):
    (said,) = do(hands, Run(("printf", "%s|%s\n", "$(id)", "a b; c")))
    assert (hands.output.text(), hands.exit_code) == ("$(id)|a b; c\n", 0)
    assert said == {"action": "run", "what": "printf '%s|%s\n' '$(id)' 'a b; c'", "changed": True}


def test_a_program_gets_its_stdin_environment_and_directory(hands, tmp_path):
    do(hands, Run(("sh", "-c", "cat; echo $GREETING; pwd"), env={"GREETING": "hi"}, cwd=str(tmp_path), stdin="in\n"))
    assert hands.output.text() == f"in\nhi\n{tmp_path}\n"


def test_a_program_without_stdin_reads_nothing(hands):
    do(hands, Run(("cat",)))
    assert hands.output.text() == ""


def test_much_stdin_that_nobody_reads_does_not_block(hands):
    do(hands, Run(("true",), stdin="x" * 1_000_000))
    assert hands.exit_code == 0


def test_much_stdin_comes_out_whole(hands):
    do(hands, Run(("wc", "-c"), stdin="x" * 1_000_000))
    assert hands.output.text().strip() == "1000000"


def test_another_exit_code_fails_with_the_last_line(hands):
    with pytest.raises(Failed, match=r"^sh: exit code 3: disk on fire$"):
        do(hands, Run(("sh", "-c", "echo fine; echo disk on fire >&2; exit 3")))
    assert hands.actions[0]["changed"]


def test_exit_codes_that_are_fine_can_be_named(hands):
    do(hands, Run(("sh", "-c", "exit 3"), ok_codes=(0, 3)))
    assert hands.exit_code == 3


def test_a_program_ended_by_a_signal_says_which(hands):
    with pytest.raises(Failed, match=r"ended by signal 9 \(SIGKILL\)"):
        do(hands, Run(("sh", "-c", "kill -9 $$")))


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (Run(("no-such-program",)), "the program `no-such-program` is not on the agent's PATH"),
        (Run(("true",), cwd="/no/such"), "true can't be started in /no/such: No such file or directory"),
        (Run(()), "an empty command"),
        (Run(("true\0",)), "can't be started: embedded null byte"),
    ],
)
def test_a_program_that_cannot_be_started_says_why_and_changed_nothing(hands, action, reason):
    with pytest.raises(Failed, match=reason):
        do(hands, action)
    assert not hands.actions[0]["changed"]


def test_what_a_program_leaves_running_with_its_output_open_is_not_waited_for(hands):
    began = time.monotonic()
    do(hands, Run(("sh", "-c", "sleep 30 & echo $!")))
    assert time.monotonic() - began < 10
    os.kill(int(hands.output.text()), signal.SIGKILL)


def test_output_is_capped_to_its_head_and_tail():
    output = Output()
    for _ in range(100):
        output.add(b"a" * 999 + b"\n")
    output.add(b"the end")
    head, gap, tail = output.text().partition("\n... 35000 bytes left out ...\n")
    assert gap
    assert head == ("a" * 999 + "\n") * 16  # whole lines
    assert tail == ("a" * 999 + "\n") * 49 + "the end"


def test_a_line_that_is_longer_than_what_is_kept_is_cut_between_words():
    output = Output()
    output.add(b"word " * 20_000)
    assert set(output.text().split("\n")[0].split()) == {"word"}
    assert set(output.text().split("\n")[2].split()) == {"word"}
    assert len(output.text()) > HEAD + TAIL - 100


@pytest.mark.parametrize("at", [HEAD - 3, HEAD, HEAD + 100_000 - TAIL - 3])
def test_a_secret_on_a_cut_shows_no_part_of_itself(at):
    output = Output()
    output.add(b"x " * ((at - 9) // 2) + b"s3cr3t-t0k3n " + b"y " * ((HEAD + 100_000 - at) // 2))
    assert "s3c" not in output.text()
    assert "k3n" not in output.text()


def test_an_error_names_whole_words_of_a_long_last_line(hands):
    words = "w" * 290 + " s3cr3t-t0k3n-0123456789"
    with pytest.raises(Failed, match=f"^sh: exit code 1: {'w' * 290}$"):
        do(hands, Run(("sh", "-c", 'echo "$0"; exit 1', words)))


def test_progress_leaves_out_a_line_that_is_still_being_printed():
    output = Output()
    output.add(b"one\ntwo half a s3cr")
    assert output.last_line(ended=True) == "one"
    output.add(b"3t\r")
    assert output.last_line(ended=True) == "two half a s3cr3t"


def test_a_program_over_its_time_is_ended_with_its_whole_group(hands, tmp_path):
    def late(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    script = f"trap '' TERM; sleep 60 & echo $! > {tmp_path}/pid; wait; sleep 60"
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(TimeoutError):
            do(hands, Run(("sh", "-c", script)))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    child = int((tmp_path / "pid").read_text())
    wait_for(lambda: held.stat(child) is None or held.stat(child).state == "Z")


def test_a_detached_program_outlives_us_in_a_session_of_its_own_and_logs_below_writable(hands, tmp_path):
    (said,) = do(hands, Run(("sh", "-c", "echo up; exec sleep 60"), detach=True, log=f"{tmp_path}/log"))
    pid = hands.data["pid"]
    try:
        assert said["what"].endswith(f"(pid {pid})")
        assert os.getsid(pid) == pid
        assert held.stat(pid).parent != os.getpid()
        wait_for(lambda: (tmp_path / "log").read_text() == "up\n")
        wait_for(lambda: os.readlink(f"/proc/{pid}/exe").endswith(("sleep", "coreutils")))
        assert set(os.listdir(f"/proc/{pid}/fd")) == {"0", "1", "2"}
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_detached_program_that_cannot_be_started_says_so(hands):
    with pytest.raises(Failed, match="the program `nope` is not on the agent's PATH"):
        do(hands, Run(("nope",), detach=True))


def test_a_log_outside_of_writable_or_through_a_link_is_refused_and_nothing_started(hands, tmp_path):
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(Refused, match="lies outside"):
        do(hands, Run(("touch", f"{tmp_path}/ran"), detach=True, log="/var/log/x"))
    with pytest.raises((Refused, OSError)):
        do(hands, Run(("touch", f"{tmp_path}/ran"), detach=True, log=f"{tmp_path}/link"))
    assert not (tmp_path / "ran").exists()


def test_a_log_that_is_another_name_of_a_file_is_refused(hands, tmp_path):
    (tmp_path / "secret").write_text("x")
    os.link(tmp_path / "secret", tmp_path / "log")
    with pytest.raises(Refused, match="several hard links"):
        do(hands, Run(("echo",), detach=True, log=f"{tmp_path}/log"))


def test_a_process_is_ended_by_term(hands, sleeper):
    (said,) = do(hands, Signal((Target(sleeper.pid, started(sleeper.pid), "sleep"),)))
    assert said == {"action": "signal", "what": f"TERM to sleep ({sleeper.pid})", "changed": True}
    assert sleeper.wait(5) == -signal.SIGTERM


def test_a_process_that_does_not_listen_is_killed_after_its_grace(hands):
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"up\n"
        (said,) = do(hands, Signal((Target(process.pid, started(process.pid)),), grace=0.1))
        assert said["what"] == f"TERM to {process.pid}, KILL to {process.pid}"
        assert process.wait(5) == -signal.SIGKILL


def test_without_kill_a_process_that_stays_fails_the_step(hands):
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"up\n"
        with pytest.raises(Failed, match=f"still there after TERM: {process.pid}"):
            do(hands, Signal((Target(process.pid, started(process.pid)),), grace=0.1, kill=False))
        assert process.poll() is None
        process.kill()


def test_another_process_under_the_same_number_is_left_alone(hands, sleeper):
    (said,) = do(hands, Signal((Target(sleeper.pid, started(sleeper.pid) - 1),)))
    assert (said["changed"], sleeper.poll()) == (False, None)


def test_a_zombie_counts_as_ended(hands):
    process = subprocess.Popen(["true"])
    wait_for(lambda: held.stat(process.pid).state == "Z")
    (said,) = do(hands, Signal((Target(process.pid, started(process.pid)),)))
    assert not said["changed"]
    process.wait()


@pytest.mark.parametrize("who", ["init", "self", "parent"])
def test_init_ourselves_and_our_parents_are_never_signalled(hands, who, sleeper):
    pid = {"init": 1, "self": os.getpid(), "parent": os.getppid()}[who]
    with pytest.raises(Refused, match="it is not signalled"):
        do(hands, Signal((Target(sleeper.pid, started(sleeper.pid)), Target(pid, started(pid)))))
    assert sleeper.poll() is None


def test_without_pidfds_a_process_is_still_ended(hands, sleeper, monkeypatch):
    monkeypatch.setattr(held, "pidfd", lambda _: None)
    do(hands, Signal((Target(sleeper.pid, started(sleeper.pid)),)))
    assert sleeper.wait(5) == -signal.SIGTERM


def test_check_signals_nobody(hands, sleeper):
    (said,) = do(hands, Signal((Target(sleeper.pid, started(sleeper.pid)),)), check=True)
    assert (said["changed"], sleeper.poll()) == (True, None)


def test_until_waits_until_it_holds(hands):
    answers = iter([False, False, True])
    (said,) = do(hands, Until("it is up", lambda: next(answers), every=0.001))
    assert said == {"action": "until", "what": "it is up", "changed": False}


def test_until_fails_with_what_was_not_seen_and_why_nothing_could_be(hands):
    def unclear():
        raise Unclear("systemctl did not answer")

    with pytest.raises(Failed, match=r"did not see that it is up within 0.02 s \(systemctl did not answer\)"):
        do(hands, Until("it is up", unclear, within=0.02, every=0.005))


def test_a_do_gets_directories_and_its_values_are_reported(hands, tmp_path):
    def download(given):
        directory = given.directory(f"{tmp_path}/a/b", make=True)
        with contextlib.closing(os.fdopen(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=directory), "w")) as file:
            file.write("x")
        os.close(directory)
        return {"files": 1, "changed": True}

    (said,) = do(hands, Do("download one file", download))
    assert said == {"action": "do", "what": "download one file", "changed": True}
    assert (tmp_path / "a/b/f").read_text() == "x"
    assert hands.data == {"files": 1}


def test_a_do_cannot_open_a_directory_outside_of_writable(hands):
    with pytest.raises(Refused, match="lies outside"):
        do(hands, Do("look", lambda given: given.directory("/etc")))


def test_the_first_failing_action_ends_the_plan(hands, tmp_path):
    with pytest.raises(Failed):
        do(hands, Run(("true",)), Run(("false",)), Run(("touch", f"{tmp_path}/ran")))
    assert not (tmp_path / "ran").exists()
    assert [said["what"] for said in hands.actions] == ["true", "false"]
