# ruff: noqa: PTH208
# os and not pathlib: names and modes are compared as the kernel tells them
"""How an agent comes to be on a far host: any shell, any Python from 3.9 on, and what is said where none comes to be."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import threading
from dataclasses import replace

import far
import own_modules
import pytest

from runbook.engine.errors import HostUnreachable, UserError
from runbook.engine.fleet import Spec, layers, pack, packages
from runbook.engine.fleet.starting import start
from runbook.engine.language.own import enlist
from runbook.engine.model import Lacking, NotSeen, Order, Seen
from runbook.modules import wire

SHELLS = [("dash",), ("bash",), ("zsh",), ("fish",), ("csh",), ("busybox", "sh")]


def pythons(*versions):
    """Yield an interpreter of each version that can be found here: on the PATH, or in pyenv."""
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv"))
    for version in versions:
        found: list[str] = []
        with contextlib.suppress(PermissionError):
            found = sorted(map(str, pyenv.glob(f"versions/{version}.*/bin/python")))
        found = [each for each in (shutil.which(f"python{version}"), *found) if each and runs(each, version)]
        yield pytest.param(
            version, found[0] if found else "", marks=[] if found else pytest.mark.skip(f"no Python {version} is here")
        )


def runs(python, version):
    """Tell whether an interpreter is of a version; pyenv's shims may be none."""
    done = subprocess.run([python, "-V"], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).startswith(f"Python {version}.")


def only(directory, *programs, **scripts):
    """Make a directory the whole PATH: with these programs, and these scripts; return the environment."""
    directory.mkdir(exist_ok=True)
    for program in programs:
        (directory / program).symlink_to(shutil.which(program))
    for name, text in scripts.items():
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    return {"PATH": str(directory), "HOME": str(directory)}


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_any_login_shell_reads_the_command_line(tmp_path, shell):
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not installed")
    home = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    with far.far(shutil.which(shell[0]), *shell[1:], base=tmp_path / "agent", env=home) as agent:
        assert isinstance(agent.probe([Spec("h", "health")])["h"], Seen)


def test_the_command_line_has_nothing_that_a_shell_reads_otherwise_than_sh():
    for become in (None, far.Become(), far.Become(password="x")):
        command = start(become=become).command
        assert not set(command) & set("\n!\\`")
        assert command.count("'") % 2 == 0


@pytest.mark.parametrize(("version", "python"), list(pythons("3.9", "3.10", "3.12", "3.13")))
def test_the_agent_runs_under_every_python_that_is_still_maintained(tmp_path, version, python):
    (tmp_path / "w").mkdir()
    (tmp_path / "w/c.json").write_text('{"a": 1}')
    (tmp_path / "w/log").write_text("fine\nCUDA out of memory\n")
    with far.far(base=tmp_path / "agent", python=python) as agent:
        agent.ready()
        assert agent.python.startswith(f"{version}.")
        looks = agent.probe(
            [
                Spec("health", "health"),
                Spec("log", "log", {"paths": (f"{tmp_path}/w/log",), "patterns": ("out of memory",), "from": "start"}),
                Spec("file", "file", {"path": (f"{tmp_path}/w/c.json",)}),
                Spec("daemon", "process", {"match": "no such process anywhere"}),
            ]
        )
        assert all(isinstance(look, Seen) for look in looks.values()), looks
        assert len(looks["log"].records) == 1
        writable = [f"{tmp_path}/w"]
        edit = Order("edit_config", {"path": f"{tmp_path}/w/c.json", "set": {"a": 2}})
        assert agent.run("i1", edit, writable=writable, diff=True).changed
        assert agent.undo("i1", writable).changed
        assert agent.run("i2", Order("command", {"argv": ["echo", "hi"]})).output == "hi\n"
        assert agent.ask("i2").output == "hi\n"


@pytest.mark.parametrize(("version", "python"), list(pythons("3.8", "3.7", "3.6")))
def test_a_python_that_is_too_old_is_passed_over_for_the_next(tmp_path, version, python):
    env = only(tmp_path / "bin", "env", python3=f'#!/bin/sh\nexec {python} "$@"\n')
    (tmp_path / "bin/python3.11").symlink_to(sys.executable)
    with far.far(base=tmp_path / "agent", env=env) as agent:
        agent.ready()
        assert not agent.python.startswith(version)


@pytest.mark.parametrize(("version", "python"), list(pythons("3.8", "3.6")))
def test_a_named_python_that_is_too_old_is_told_with_its_version(tmp_path, version, python):
    with (
        far.far(base=tmp_path, python=python) as agent,
        pytest.raises(HostUnreachable, match=rf"found: {python} \(Python {version}\)\n.*python_interpreter"),
    ):
        agent.ready(20)


def script(text):
    """Return a login shell's argv before `-c COMMAND` which is something else."""
    return ("/bin/sh", "-c", text, "sh")


@pytest.mark.parametrize(
    ("shell", "reason"),
    [
        (("/usr/sbin/nologin",), "the login user's shell runs no commands: This account is currently not available"),
        (("/bin/false",), r"nothing that was started there said a word and ended with exit code 1\n.*forced command"),
        (
            script("echo backup ready"),
            r"no agent began; it printed `backup ready` and ended with exit code 0\n.*forced",
        ),
        (script("cat"), "no agent began|nothing that was started there"),
        (script("yes | head -c 9999999"), "over 64 KiB of something else before an agent's first word"),
    ],
    ids=["nologin", "false", "forced", "echo", "flood"],
)
def test_a_login_that_starts_no_agent_is_told(shell, reason):
    if not os.path.exists(shell[0]):  # noqa: PTH110
        pytest.skip(f"there is no {shell[0]}")
    with far.far(*shell) as agent:
        agent._link.write(b"")
        with pytest.raises(HostUnreachable, match=f"gpu01: .*{reason}"):
            agent.ready(3)


def test_what_a_login_prints_before_the_agent_is_passed_over(tmp_path):
    chatty = "echo Welcome to gpu01; printf '\\0\\0\\1\\7runboo'; head -c 60000 /dev/urandom; echo hello >&2; "
    with far.far(base=tmp_path, command=lambda line: chatty + line) as agent:
        assert isinstance(agent.probe([Spec("h", "health")])["h"], Seen)


def test_no_python_at_all_is_told(tmp_path):
    env = only(tmp_path / "bin")
    with (
        far.far(base=tmp_path, python="/no/such/python", env=env) as agent,
        pytest.raises(
            HostUnreachable,
            match=r"gpu01: /no/such/python, which .+ names, is no Python 3\.9 or newer; found: none\n  name another",
        ),
    ):
        agent.ready(20)


def test_a_python_of_another_architecture_is_told(tmp_path):
    (tmp_path / "python3").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf3\x00" + bytes(100))
    (tmp_path / "python3").chmod(0o755)
    with (
        far.far("/bin/bash", base=tmp_path, python=str(tmp_path / "python3")) as agent,
        pytest.raises(HostUnreachable, match=r"its Python is made for another architecture: .+Exec format error"),
    ):
        agent.ready(20)


def test_an_interpreter_with_shell_in_its_name_is_no_interpreter():
    with pytest.raises(UserError, match="is no path of an interpreter"):
        start("python3; rm -rf /")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("size=1m", "home/ann/.local: Read-only file system; `agent_dir`"),
        ("size=64k", "the agent's code can't be kept in .*: No space left on device"),
    ],
)
def test_a_home_that_cannot_be_written_is_told(options, reason):
    mount = f"mount -t tmpfs -o {options} none /home && mkdir /home/ann && chown 12401 /home/ann && "
    mount += "mount -o remount,ro /home && " if reason.startswith("home") else ""
    mount += 'exec setpriv --reuid 12401 --clear-groups env HOME=/home/ann sh "$@"'
    with (
        far.far("unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh") as agent,
        pytest.raises(HostUnreachable, match=reason),
    ):
        agent.ready(20)


@pytest.fixture
def watchful(tmp_path, monkeypatch):
    """Enlist a user's probe that imports psutil."""
    folder = tmp_path / "runbook_modules"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    own_modules.write(folder, "probe", "watchful", first="import psutil\nassert psutil.virtual_memory().total")
    enlist.forget()
    assert not list(enlist.everything())
    yield Spec("w", "watchful", {"path": "/etc/passwd"})
    enlist.forget()


def bare():
    """Return an interpreter that has no psutil of its own."""
    for each in pythons("3.12", "3.10", "3.9"):
        if (
            each.values[1]
            and subprocess.run([each.values[1], "-Ic", "import psutil"], capture_output=True, check=False).returncode
        ):
            return each.values[1]
    pytest.skip("no Python without psutil of its own is here")


def test_psutil_travels_for_users_modules_to_hosts_that_it_fits(tmp_path, watchful):
    with far.far(base=tmp_path / "agent", python=bare()) as agent:
        look = agent.probe([watchful])["w"]
        assert isinstance(look, Seen), look


def test_psutil_of_another_architecture_is_told_where_a_users_module_wants_it(tmp_path, monkeypatch, watchful):
    foreign = replace(packages.psutil(), machine="riscv64", libc="glibc 2.35")
    monkeypatch.setattr(packages, "psutil", lambda: foreign)
    with far.far(base=tmp_path / "agent", python=bare()) as agent:
        looks = agent.probe([watchful, Spec("h", "health")])
    assert isinstance(looks["w"], NotSeen)
    assert "the controller's psutil is for riscv64 with glibc 2.35, and this is " in looks["w"].reason
    assert isinstance(looks["h"], Seen)  # what is bundled does without


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_home_mounted_noexec_leaves_out_what_is_compiled_and_says_so(tmp_path, watchful):
    place = tmp_path / "place"
    place.mkdir()
    mount = f'mount -t tmpfs -o noexec none {place}; exec sh "$@"'
    shell = ("unshare", "-m", "--propagation", "private", "sh", "-c", mount, "sh")
    with far.far(*shell, base=place / "agent", python=bare()) as agent:
        looks = agent.probe([watchful, Spec("h", "health")])
    assert "whose file system is mounted noexec" in looks["w"].reason
    assert isinstance(looks["h"], Seen)


def test_two_controllers_that_come_first_at_once_both_get_an_agent(tmp_path):
    looks = []

    def come():
        with far.far(base=tmp_path / "agent") as agent:
            looks.append(agent.probe([Spec("h", "health")])["h"])

    threads = [threading.Thread(target=come) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [type(look) for look in looks] == [Seen] * 4
    assert len(os.listdir(tmp_path / "agent/code")) == 1


def test_what_looks_at_gpus_goes_once_and_only_where_their_library_is(tmp_path, monkeypatch):
    asked = []
    real = layers.message
    monkeypatch.setattr(layers, "message", lambda digest: asked.append(digest) or real(digest))
    (tmp_path / "lib").mkdir()
    for library in (False, True, True):
        if library:
            (tmp_path / "lib/libnvidia-ml.so.1").write_text("")
        env = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path / "lib")}
        with far.far(base=tmp_path / "agent", env=env, python=bare()) as agent:
            look = agent.probe([Spec("g", "gpu")])["g"]
        assert isinstance(look, Lacking)
        assert "there is no libnvidia-ml.so.1" in look.reason if library else "no NVIDIA driver" in look.reason
        assert len(asked) == library


def test_an_agent_that_says_nothing_for_long_shows_that_it_lives(tmp_path, monkeypatch):
    contents = dict(pack.contents())
    name = "runbook/modules/agent.py"
    contents[name] = contents[name].replace(b"_BEAT = 35.0", b"_BEAT = 0.2")
    assert contents[name] != pack.contents()[name]
    monkeypatch.setattr(pack, "contents", lambda: contents)
    pack.digest.cache_clear()
    pack.packed.cache_clear()
    beats = []
    try:
        with far.far(base=tmp_path / "agent") as agent:
            agent.ready()
            monkeypatch.setattr(agent._ration, "beats", lambda: beats.append(1))
            assert agent.receive(1.0) == []
            assert len(beats) >= 2
            assert agent.run("i1", Order("command", {"argv": ["true"]})).ok
    finally:
        pack.digest.cache_clear()
        pack.packed.cache_clear()


def test_a_mark_in_the_noise_is_not_made_by_what_is_sent():
    sent = pack.bootstrap() + start().command.encode() + pack.loader().encode()
    assert wire.MARK not in sent
