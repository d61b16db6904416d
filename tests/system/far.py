"""Agents started as on a far host: by the real command line, by any shell, as any user, without an sshd between."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import time

from runbook.engine.fleet.agent import Agent
from runbook.engine.fleet.become import Become
from runbook.engine.fleet.link import Pipes
from runbook.engine.fleet.starting import start

__all__ = ["Become", "Users", "ended", "far"]

PASSWORD = "open sesame; $HOME `id`"


@contextlib.contextmanager
def far(*shell, python="auto", become=None, base=None, host="gpu01", env=None, command=None, far=True, cwd=None):
    """Yield an agent that `shell -c COMMAND` starts; end whatever it started.

    Args:
        shell: what the login runs, `/bin/sh` unless told otherwise.
        command: makes another command line of the real one.
    """
    how = start(python, become)
    line = command(how.command) if command else how.command
    process = subprocess.Popen(
        [*(shell or ("/bin/sh",)), "-c", line],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        cwd=cwd,
        start_new_session=True,
    )
    descriptors = [os.dup(stream.fileno()) for stream in (process.stdin, process.stdout, process.stderr)]
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()
    link = Pipes(*descriptors, lambda: _how(process))
    agent = Agent(
        host,
        link,
        base=None if base is None else str(base),
        before=how.before,
        far=far,
        become=become is not None,
    )
    agent.process = process
    try:
        yield agent
    finally:
        agent.close()
        ended(process)


def ended(process, seconds=20.0):
    """Wait until a process that was hung up on has ended; kill it if it does not."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def _how(process):
    deadline = time.monotonic() + 2.0  # its output ended, so it is about to
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    code = process.returncode
    return None if code is None else f"exit code {code}" if code >= 0 else f"signal {-code}"


class Users:
    """A machine's users, homes, sudoers and /var/lib in a mount namespace of their own, which ends with its processes.

    `ann` logs in; `svc` is a service's user without a home of its own.
    """

    ANN, SVC = 12401, 12402

    def __init__(self, directory: pathlib.Path, sudoers: str) -> None:
        self.directory = directory
        for name in ("home/ann", "var/lib/sudo", "var/tmp", "run/sudo", "etc"):
            (directory / name).mkdir(parents=True)
        (directory / "var/tmp").chmod(0o1777)
        self.home = directory / "home/ann"
        os.chown(self.home, self.ANN, self.ANN)
        etc = directory / "etc"
        secret = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin"], input=PASSWORD, capture_output=True, text=True, check=True
        ).stdout.strip()
        for name, lines in {
            "passwd": f"ann:x:{self.ANN}:{self.ANN}::/home/ann:/bin/sh\nsvc:x:{self.SVC}:{self.SVC}::/nonexistent:/bin/false\n",
            "group": f"ann:x:{self.ANN}:\nsvc:x:{self.SVC}:\n",
            "shadow": f"ann:{secret}:19000:0:99999:7:::\nsvc:*:19000:0:99999:7:::\n",
        }.items():
            (etc / name).write_text(pathlib.Path("/etc", name).read_text() + lines)
            shutil.copymode(f"/etc/{name}", etc / name)
        (etc / "sudoers").write_text(sudoers + "\n")
        (etc / "sudoers").chmod(0o440)

    def shell(self, *, path="/usr/bin:/bin", env=()):
        """Return the argv before `-c COMMAND` of a login by ann."""
        login = f"setpriv --reuid {self.ANN} --regid {self.ANN} --init-groups --reset-env"
        given = " ".join(f"'{each}'" for each in env)
        script = f"cd /home/ann; exec {login} env PATH='{path}' {given} /bin/sh \"$@\""
        return (*self.inside(), "/bin/sh", "-c", script, "sh")

    def inside(self):
        """Return the argv before a command that root runs on this machine."""
        there = self.directory
        binds = {
            **{f"/etc/{name}": there / "etc" / name for name in ("passwd", "group", "shadow", "sudoers")},
            "/home": there / "home",
            "/var/lib": there / "var/lib",
            "/var/tmp": there / "var/tmp",
            "/run": there / "run",
        }
        mounts = "; ".join(f"mount --bind '{source}' {target}" for target, source in binds.items())
        script = f'set -e; {mounts}; exec "$@"'
        return ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")
