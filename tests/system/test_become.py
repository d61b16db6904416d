# ruff: noqa: PTH116, PTH208
# os and not pathlib: owners and modes are compared as the kernel tells them
"""`become` with the real sudo: who the agent is, where its code comes from, and what is said when sudo says no."""

import os
import pathlib
import shutil
import stat
import subprocess
import sys

import far
import pytest
import yaml
from far import PASSWORD, Become, Users
from sshds import sshds

from runbook.engine.errors import HostUnreachable
from runbook.engine.fleet import Spec, pack
from runbook.engine.model import Order, Seen

__all__ = ["sshds"]

ANYTHING = "ann ALL=(ALL) NOPASSWD: ALL"
WITH_PASSWORD = "ann ALL=(ALL) ALL"


def lacking():
    """Say what this machine lacks for these tests; empty where nothing is."""
    if os.geteuid() != 0:
        return "only root can make users in a mount namespace"
    missing = [name for name in ("sudo", "unshare", "setpriv", "openssl") if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "no mount namespace can be made here"


pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking() or "-")


def who(agent):
    """Return what `id -un` says under an agent."""
    return agent.run(f"i{os.urandom(4).hex()}", Order("command", {"argv": ["id", "-un"]})).output.strip()


def test_root_gets_its_code_into_a_directory_of_its_own(tmp_path):
    users = Users(tmp_path, ANYTHING)
    with far.far(*users.shell(), become=Become()) as agent:
        assert who(agent) == "root"
        assert isinstance(agent.probe([Spec("h", "health")])["h"], Seen)
    codes = [*(tmp_path / "var/lib/runbook/agent/code").iterdir()]
    assert len(codes) == 2  # the command came with a part of its own
    assert all(code.name.startswith(pack.digest()) for code in codes)
    for path in (*codes, codes[0].parent):
        seen = os.stat(path)
        assert seen.st_uid == 0
        assert not stat.S_IMODE(seen.st_mode) & 0o077
    assert os.listdir(users.home) == []


def test_the_login_users_own_agent_lives_beside_it_in_its_home(tmp_path):
    users = Users(tmp_path, ANYTHING)
    with far.far(*users.shell()) as agent, far.far(*users.shell(), become=Become()) as root:
        assert (who(agent), who(root)) == ("ann", "root")
    assert os.stat(users.home / ".local/state/runbook/agent/code").st_uid == Users.ANN


def test_a_services_user_without_a_home_has_a_place_of_its_own(tmp_path):
    users = Users(tmp_path, ANYTHING)
    with far.far(*users.shell(), become=Become("svc")) as agent:
        assert who(agent) == "svc"
    seen = os.stat(tmp_path / f"var/tmp/runbook-{Users.SVC}")
    assert (seen.st_uid, stat.S_IMODE(seen.st_mode)) == (Users.SVC, 0o700)


@pytest.mark.parametrize("sudoers", [WITH_PASSWORD, ANYTHING, f"Defaults lecture=always\n{WITH_PASSWORD}"])
def test_a_password_goes_by_standard_input_whether_sudo_asks_for_it_or_not(tmp_path, sudoers):
    users = Users(tmp_path, sudoers)
    with far.far(*users.shell(), become=Become(password=PASSWORD)) as agent:
        assert who(agent) == "root"
        shown = b""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            for name in ("cmdline", "environ"):
                try:
                    shown += pathlib.Path("/proc", pid, name).read_bytes()
                except OSError:
                    continue
        assert b"runbook agent" in shown
        assert PASSWORD.encode() not in shown
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("sudoers", "become", "reason"),
    [
        (WITH_PASSWORD, Become(), "sudo asks for a password\n.*--ask-become-pass"),
        (WITH_PASSWORD, Become(password="wrong"), "sudo does not take the become password"),
        (
            "root ALL=(ALL) ALL",
            Become(password=PASSWORD),
            "sudoers does not allow it: .*ann is not in the sudoers file",
        ),
        ("ann ALL=(ALL) NOPASSWD: /bin/true", Become(), "sudo asks for a password|sudoers does not allow it"),
        (ANYTHING, Become("nobody1"), "there is no user nobody1 to become"),
        (f"Defaults requiretty\n{ANYTHING}", Become(), "sudo wants a terminal .*\n.*requiretty"),
    ],
)
def test_why_sudo_says_no_is_told_with_what_mends_it(tmp_path, sudoers, become, reason):
    users = Users(tmp_path, sudoers)
    with far.far(*users.shell(), become=become) as agent, pytest.raises(HostUnreachable, match=f"(?s)gpu01: {reason}"):
        agent.ready(20)


def test_a_wrong_password_is_tried_once_and_no_code_is_taken_for_another(tmp_path):
    users = Users(tmp_path, f"Defaults logfile={tmp_path}/sudo.log\n{WITH_PASSWORD}")
    with (
        far.far(*users.shell(), become=Become(password="wrong")) as agent,
        pytest.raises(HostUnreachable, match="sudo does not take the become password"),
    ):
        agent.ready(20)
    assert "1 incorrect password attempt" in (tmp_path / "sudo.log").read_text()


def test_a_host_without_sudo_is_told(tmp_path):
    users = Users(tmp_path, ANYTHING)
    for name in ("env", "sh"):
        (users.home / name).symlink_to(f"/usr/bin/{name}")
    with (
        far.far(*users.shell(path="/home/ann"), become=Become()) as agent,
        pytest.raises(HostUnreachable, match="gpu01: there is no sudo\n"),
    ):
        agent.ready(20)


PLANTED = "import os\nopen('/home/ann/' + str(os.geteuid()) + '.was-here', 'w').close()\n"
OPEN_SUDOERS = f"Defaults !env_reset, !secure_path\n{ANYTHING}"


def plant(users, version):
    """Put code of ann's wherever an interpreter or an agent might take it from; return her environment."""
    home = users.home
    places = [
        *(f"{name}.py" for name in ("json", "os", "sitecustomize", "usercustomize", "zipfile")),
        "runbook/__init__.py",
        "runbook/modules/__init__.py",
        "runbook/modules/agent.py",
        "psutil/__init__.py",
        f".local/lib/python{version}/site-packages/usercustomize.py",
        f".local/lib/python{version}/site-packages/psutil.py",
        f"state/runbook/agent/code/{pack.digest()}/runbook/modules/agent.py",
        f".local/state/runbook/agent/code/{pack.digest()}/runbook/modules/agent.py",
    ]
    for place in places:
        (home / place).parent.mkdir(parents=True, exist_ok=True)
        (home / place).write_text(PLANTED)
    (home / f".local/lib/python{version}/site-packages/x.pth").write_text(f"import os; {PLANTED.splitlines()[1]}\n")
    (home / "bin").mkdir()
    for name in ("python3", "python3.11", "id", "sh", "find", "readlink", "dirname"):
        (home / "bin" / name).write_text(
            '#!/bin/sh\ntouch "/home/ann/$(/usr/bin/id -u).was-here"\nexec /usr/bin/' + name + ' "$@"\n'
        )
        (home / "bin" / name).chmod(0o755)
    subprocess.run(["chown", "-R", f"{Users.ANN}:{Users.ANN}", str(home)], check=True)
    return (
        "PYTHONPATH=/home/ann",
        "PYTHONSTARTUP=/home/ann/json.py",
        "PYTHONHOME=",
        "XDG_STATE_HOME=/home/ann/state",
        "TMPDIR=/home/ann",
        "BASH_ENV=/home/ann/bin/id",
        "ENV=/home/ann/bin/id",
    )


@pytest.mark.parametrize("user", ["root", "svc"])
def test_nothing_that_the_login_user_wrote_runs_as_another(tmp_path, user):
    users = Users(tmp_path, OPEN_SUDOERS)
    env = plant(users, "3.11")
    shell = users.shell(path="/home/ann/bin:/home/ann:.:/usr/bin:/bin", env=env)
    with far.far(*shell, become=Become(user)) as agent:
        assert who(agent) == user
        assert isinstance(agent.probe([Spec("h", "health")])["h"], Seen)
        shown = agent.run("i2", Order("command", {"argv": ["env"]})).output
    assert "PATH=/usr/bin:/bin\n" in shown
    assert "/home/ann" not in "".join(line for line in shown.splitlines() if line.startswith(("HOME", "XDG", "PATH")))
    left = {name for name in os.listdir(users.home) if name.endswith(".was-here")}
    assert left <= {f"{Users.ANN}.was-here"}


@pytest.mark.parametrize("how", ["a directory", "a link"])
def test_a_place_that_the_login_user_took_first_is_refused(tmp_path, how):
    users = Users(tmp_path, ANYTHING)
    place = tmp_path / f"var/tmp/runbook-{Users.SVC}"
    if how == "a link":
        place.symlink_to("/home/ann")
    else:
        place.mkdir()
    os.chown(place, Users.ANN, Users.ANN, follow_symlinks=False)
    with (
        far.far(*users.shell(), become=Become("svc")) as agent,
        pytest.raises(HostUnreachable, match=f"is a link|belongs to uid {Users.ANN}, not to {Users.SVC}"),
    ):
        agent.ready(20)


def test_an_interpreter_that_the_login_user_can_change_is_not_run_as_root(tmp_path):
    users = Users(tmp_path, OPEN_SUDOERS)
    shell = users.shell(path="/home/ann/bin:/usr/bin:/bin", env=plant(users, "3.11"))
    with (
        far.far(*shell, become=Become(), python="/home/ann/bin/python3") as agent,
        pytest.raises(HostUnreachable, match="/home/ann/bin/python3 is not run as root: others, such as"),
    ):
        agent.ready(20)
    assert not (users.home / "0.was-here").exists()


@pytest.mark.parametrize(
    ("sudoers", "settings", "words", "expected"),
    [
        (ANYTHING, {}, (), "ann"),
        (ANYTHING, {}, ("-b",), "root"),
        (ANYTHING, {}, ("-b", "--become-user", "svc"), "svc"),
        (WITH_PASSWORD, {"ansible_become_password": PASSWORD}, ("-b",), "root"),
    ],
)
def test_it_is_the_same_over_ssh(tmp_path, sshds, cli, sudoers, settings, words, expected):
    users = Users(tmp_path / "users", sudoers)
    shutil.rmtree(tmp_path / "users/run/sudo")
    (tmp_path / "users/run/sshd").mkdir()
    hosts = sshds(1)
    host = hosts["h1"]
    host.stop()
    host._before = users.inside()
    marks = f"SetEnv RB_HOST=h1 RB_SSHDS={hosts.directory}"
    host.reconfigure(f"AuthorizedKeysFile /home/ann/keys\n{marks}")
    (users.home / "keys").write_text(hosts.authorized_keys.read_text())
    host.start()
    hosts.write()
    inventory = yaml.safe_load(hosts.inventory.read_text())
    known = inventory["all"]["hosts"]["h1"]
    del known["agent_dir"]
    known.update(ansible_user="ann", **settings)
    hosts.inventory.write_text(yaml.safe_dump(inventory))
    done = cli("run", "command", "-i", str(hosts.inventory), "-l", "all", *words, "--", "id", "-un")
    assert done.exit_code == 0, done.out + done.err
    assert f"│ {expected}\n" in done.out
    assert PASSWORD not in done.out + done.err
    assert PASSWORD.encode() not in (cli.home / "journal.db").read_bytes()


@pytest.mark.parametrize(
    ("sudoers", "host", "words", "expected"),
    [
        (ANYTHING, {}, (), "ann"),
        (ANYTHING, {}, ("-b",), "root"),
        (ANYTHING, {"ansible_become": True, "ansible_become_user": "svc"}, (), "svc"),
        (WITH_PASSWORD, {"ansible_become_password": PASSWORD}, ("-b",), "root"),
    ],
)
def test_it_is_the_same_on_this_machine_without_any_connection(tmp_path, sudoers, host, words, expected):
    done, journal = as_ann(tmp_path, sudoers, host, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"│ {expected}\n" in done.stdout
    assert PASSWORD not in done.stdout + done.stderr
    assert PASSWORD.encode() not in journal.read_bytes()


def test_what_sudo_says_on_this_machine_is_told_with_what_mends_it(tmp_path):
    done, _ = as_ann(tmp_path, WITH_PASSWORD, {}, "-b")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "here as root can't be reached: sudo asks for a password; give it with" in done.stdout
    assert "-K (--ask-become-pass), or let sudoers say NOPASSWD for this user" in done.stdout


def as_ann(tmp_path, sudoers, host, *words):
    """Run `id -un` by `runbook run` on `connection: local`, where ann is at the keyboard; return also the journal."""
    users = Users(tmp_path, sudoers)
    inventory = {"all": {"hosts": {"here": {"ansible_connection": "local", **host}}}}
    (users.home / "inventory.yaml").write_text(yaml.safe_dump(inventory))
    repository = pathlib.Path(__file__).parents[2]
    packages = pathlib.Path(yaml.__file__).parents[1]
    places = {"python": sys.base_prefix, "packages": packages, "repository": repository}  # where ann may read them
    for name in places:
        (tmp_path / "run" / name).mkdir()
    mounts = "; ".join(f"mount --bind '{source}' /run/{name}" for name, source in places.items())
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    env = ("PYTHONPATH=/run/repository:/run/packages", "RUNBOOK_CONFIG=/dev/null", "PYTHONDONTWRITEBYTECODE=1")
    login = (
        "setpriv",
        "--reuid",
        str(users.ANN),
        "--regid",
        str(users.ANN),
        "--init-groups",
        "--reset-env",
        "env",
        *env,
    )
    command = ("run", "command", "-i", "inventory.yaml", "-l", "here", *words, "--", "id", "-un")
    argv = (*login, f"/run/python/bin/{version}", "-m", "runbook", *command)
    script = f'set -e; {mounts}; cd /home/ann; exec "$@"'
    done = subprocess.run(
        (*users.inside(), "sh", "-c", script, "sh", *argv), capture_output=True, text=True, timeout=60, check=False
    )
    journals = list(users.home.rglob("journal.db"))
    assert len(journals) == 1, done.stdout + done.stderr
    return done, journals[0]


@pytest.mark.parametrize("words", [(), ("-b",), ("-b", "--become-user", "nobody")])
def test_a_vaulted_password_that_nothing_opens_is_an_error_only_where_it_is_used(cli, words):
    locked = "        $ANSIBLE_VAULT;1.1;AES256\n        " + "6" * 80
    inventory = f"""
all:
  hosts:
    here:
      ansible_connection: local
      ansible_become_password: !vault |
{locked}
"""
    inventory = cli.write("inventory.yaml", inventory)
    done = cli("run", "command", "-i", inventory, "-l", "here", *words, "--", "echo", "done")
    used = "nobody" in words  # root becomes root without sudo
    assert done.exit_code == (2 if used else 0), done.out + done.err
    assert ("ansible_become_password of here" in done.out) is used, done.out
