"""`runbook install` and `uninstall` under a real systemd, in a machine that boots."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import fake_gpus
import installed_host
import pytest
import slurm_cluster
from installed_host import Machine

from runbook.engine.install import unit
from runbook.engine.install.sandbox import Ground
from runbook.engine.install.sandbox import settings as sandbox_settings
from runbook.engine.install.unit import Service

VICTIM = "[Service]\nExecStart=/bin/sleep 1000\n"
SERVING = """\
name: serving
every: 1s
detectors:
  - name: down
    daemon: {unit: victim, manager: systemd}
    when: not alive
    limit: 20 per 1h
    recover: [restart_daemon: {unit: victim, manager: systemd, settle: 100ms}]
    verify: {every: 100ms, within: 20s}
"""
PLACES = "find /etc /run/systemd /var/spool/cron /usr/lib/systemd -xdev -name '*runbook*' | sort"
TRACES = f"{PLACES}; systemctl list-units --all --plain --no-legend 'runbook*'; pgrep -f '[r]unbook watch' || :"

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A machine with a daemon that can be killed."""
    if lacks := installed_host.lacking():
        pytest.skip(lacks)
    made = Machine(tmp_path_factory.mktemp("machine"))
    try:
        made.write("/etc/systemd/system/victim.service", VICTIM)
        made.sh("systemctl daemon-reload; systemctl start victim")
        made.sh("mount -t tmpfs none /srv")  # a disk of its own: on an overlay of two a file seems to be a mount
        yield made
    finally:
        made.close()


def heals(machine, unit="victim"):
    """Kill a daemon, and wait until the watch has restarted it, and has seen that it is well."""
    cures = "journalctl --no-pager -o cat -u runbook-serving | grep -c ': cured' || :"
    before, seen = machine.show(unit, "MainPID"), int(machine.sh(cures))
    machine.sh(f"systemctl kill --signal=KILL {unit}")
    machine.until(f"[ $({cures}) -gt {seen} ]")
    assert machine.show(unit, "MainPID") not in {"0", before}


def test_a_watch_is_installed_heals_outlives_a_kill_reloads_and_leaves_nothing(machine):
    file = machine.write("/etc/runbook/serving.yaml", SERVING)
    assert machine.sh(TRACES) == "/etc/runbook"
    done = machine.runbook("install", file, "--yes")
    assert "runbook-serving watches; log: journalctl -fu runbook-serving" in done.stdout
    unit = "runbook-serving.service"
    assert (machine.show(unit, "ActiveState"), machine.show(unit, "UnitFileState")) == ("active", "enabled")
    assert machine.show(unit, "StatusText")
    heals(machine)

    main = machine.show(unit, "MainPID")
    machine.sh(f"kill -KILL {main}")
    asked = "systemctl show --value -p"  # first for the pid: for a moment it is 0, of a unit that is active still
    machine.until(
        f"pid=$({asked} MainPID {unit}); [ $pid != 0 ] && [ $pid != {main} ] && [ $({asked} ActiveState {unit}) = active ]"
    )
    assert machine.show(unit, "NRestarts") == "1"
    heals(machine)

    machine.write("/etc/systemd/system/other.service", VICTIM)
    machine.sh("systemctl daemon-reload; systemctl start other")
    machine.write(
        file, SERVING + SERVING.partition("detectors:\n")[2].replace("down", "other down").replace("victim", "other")
    )
    machine.sh(f"systemctl reload {unit}")
    heals(machine, "other")
    assert machine.show(unit, "NRestarts") == "1"

    grown = SERVING + "  - {name: shared, log: {kernel: true, patterns: [shared]}}\n"
    machine.write(file, grown)
    machine.until(
        f"journalctl --no-pager -o cat -u {unit} | grep 'keeps from the runbooks what they need by now' | grep ProtectKernelLogs"
    )

    listed = machine.runbook("install", "--list").stdout.split()
    assert listed == ["runbook-serving", "system", "unit", "active", "serving"]
    machine.sh(f"systemctl stop {unit}")
    assert machine.show(unit, "Result") == "success"
    assert machine.sh("pgrep -f '[r]unbook watch' || :") == ""
    machine.sh(f"systemctl start {unit}")

    gone = machine.runbook("uninstall", "serving", "--yes").stdout
    assert gone.splitlines()[-1] == "runbook-serving is gone; its journal stays: /var/lib/runbook/journal.db"
    machine.until("! pgrep -f '[r]unbook watch'")
    assert machine.sh(TRACES) == "/etc/runbook"
    assert machine.sh("ls /var/lib/runbook/journal.db")
    assert machine.runbook("uninstall", "serving", "--yes", check=False).stderr.startswith(
        "error: nothing is installed"
    )


def test_a_watch_that_hangs_is_ended_and_started_again(machine):
    file = machine.write("/etc/runbook/serving.yaml", SERVING)
    machine.write(
        "/etc/systemd/system/runbook-serving.service.d/x.conf", "[Service]\nWatchdogSec=2s\nTimeoutAbortSec=500ms\n"
    )
    machine.runbook("install", file, "--yes")
    try:
        main = machine.show("runbook-serving", "MainPID")
        machine.sh(f"sleep 3; [ $(systemctl show -p MainPID --value runbook-serving) = {main} ]; kill -STOP {main}")
        machine.until(
            f"[ $(systemctl show -p NRestarts --value runbook-serving) = 1 ]; systemctl is-active runbook-serving; ! [ -e /proc/{main} ]"
        )
        assert "Watchdog timeout (limit 2s)" in machine.sh("journalctl --no-pager -o cat -u runbook-serving")
    finally:
        machine.runbook("uninstall", "serving", "--yes")
        machine.sh("rm -r /etc/systemd/system/runbook-serving.service.d; systemctl daemon-reload")


PROFILE = """\
name: profile
every: 1s
limit: 20 per 1h
writable: [/srv/app, /srv/app/model, /etc/app]
detectors:
  - name: daemon
    daemon: {unit: confined, manager: systemd}
    when: not alive
    recover: [restart_daemon: {unit: confined, manager: systemd, settle: 100ms}]
  - name: runit
    daemon: {unit: /srv/sv/work, manager: runit}
    when: not alive
    recover: [restart_daemon: {unit: /srv/sv/work, manager: runit, settle: 100ms}]
  - name: cache
    file: /srv/app/cache
    when: size > 2MB
    recover: [{clear_cache: {path: /srv/app/cache, max_size: 1MB}, mode: auto}]
  - name: owner
    file: /srv/app/model
    when: owner != 'daemon'
    recover: [chown: {path: /srv/app/model, owner: daemon, group: daemon, mode: "0640", recursive: true}]
  - name: config
    file: /etc/app/app.json
    when: size < 30B
    recover: [edit_config: {path: /etc/app/app.json, set: {why: "a text that makes it longer than it was"}}]
  - name: kernel
    log: {kernel: true, patterns: 'MARK kernel (?P<word>\\w+)', from: since 1h}
    when: word == 'sick'
    verify: {for: 100ms}
    recover: [edit_config: {path: /etc/app/kernel.json, set: {seen: true}}]
  - name: journal
    log: {journal: {identifier: MARK}, patterns: 'journal (?P<word>\\w+)', from: since 1h}
    when: word == 'sick'
    verify: {for: 100ms}
    recover: [edit_config: {path: /etc/app/journal.json, set: {seen: true}}]
  - name: stranger
    process: {match: 'sleep 4242'}
    when: count > 0
    recover: [signal: {match: 'sleep 4242', signal: TERM}]
  - name: kept
    file: /srv/app/origin/w
    when: not exists
    recover:
      - restore: {path: /srv/app/origin, kept_in: /srv/app/snaps}
      - snapshot: {path: /srv/app/origin, into: /srv/app/snaps}
"""
ILL = """\
systemctl start confined; systemctl kill --signal=KILL confined
mkdir -p /srv/app/cache /srv/app/model/sub /srv/app/origin /etc/app /srv/sv/work
head -c 3000000 /dev/zero > /srv/app/cache/x
echo a > /srv/app/model/sub/w; echo b > /srv/app/origin/w; setcap cap_net_bind_service+ep /srv/app/origin/w || :
for each in app kernel journal; do echo '{"port": 1}' > /etc/app/$each.json; done
chown -R games:games /srv/app/cache /srv/app/model /etc/app; chmod 700 /srv/app/cache /srv/app/model /etc/app
setpriv --reuid=games --regid=games --clear-groups sleep 4242 >/dev/null 2>&1 &
printf '#!/bin/sh\\nexec sleep 5000\\n' > /srv/sv/work/run; chmod 755 /srv/sv/work/run; chown -R games /srv/sv
setpriv --reuid=games --regid=games --clear-groups runsv /srv/sv/work >/dev/null 2>&1 &
i=0; until sv status /srv/sv/work | grep -q ^run; do sleep 0.05; i=$((i+1)); [ $i -lt 200 ]; done; sv down /srv/sv/work
echo 'journal sick' | systemd-cat -t MARK; echo 'MARK kernel sick' > /dev/kmsg
"""
PASS = "[Service]\nType=oneshot\nStateDirectory=runbook\nEnvironment=HOME=/root NO_COLOR=1\nExecStart={python} -P -m runbook apply {file} --wait 10s --format json\nStandardOutput=truncate:/run/pass.json\n{sandbox}"


def sandbox(machine, file, *words):
    """The settings of the unit that would be installed."""
    shown = machine.runbook("install", file, "--check", *words).stdout
    text = "\n".join(line.removeprefix("  ") for line in shown.splitlines())
    return text.partition("StateDirectoryMode=0700\n")[2].partition("[Install]")[0]


def confined_pass(machine, name, file, settings):
    """One pass under these settings; its report."""
    machine.write(
        f"/etc/systemd/system/{name}.service", PASS.format(python=sys.executable, file=file, sandbox=settings)
    )
    machine.sh(f"systemctl daemon-reload; systemctl start {name} || :")
    said = machine.sh("cat /run/pass.json") or machine.sh(f"journalctl --no-pager -o cat -u {name}")
    assert said.startswith("{"), said
    return json.loads(said)["runs"][0]["hosts"]["localhost"]


def exposure(machine, name):
    found = re.search(
        r"exposure level for \S+: ([\d.]+)", machine.run("systemd-analyze", "security", "--no-pager", name).stdout
    )
    return float(found[1])


def test_a_confined_watch_can_do_all_that_its_steps_do_and_little_else(machine, tmp_path):
    mark = f"m{abs(hash(tmp_path)):x}"
    file = machine.write("/etc/runbook/profile.yaml", PROFILE.replace("MARK", mark))
    machine.write("/etc/systemd/system/confined.service", VICTIM)
    machine.sh("systemctl daemon-reload")
    machine.sh(ILL.replace("MARK", mark))
    machine.runbook("run", "snapshot", "path=/srv/app/origin", "into=/srv/app/snaps", "--writable", "/srv/app")
    machine.sh("rm /srv/app/origin/w")
    settings = sandbox(machine, file)
    report = confined_pass(machine, "profile", file, settings)
    states = {each["detector"]: each["state"] for each in report["incidents"]}
    wanted = re.findall(r"^  - name: (\w+)", PROFILE, re.MULTILINE)
    assert states == dict.fromkeys(wanted, "cured"), json.dumps(report, indent=1)
    assert report["unknown"] == []
    machine.write("/etc/systemd/system/bare.service", PASS.format(python=sys.executable, file=file, sandbox=""))
    assert exposure(machine, "profile.service") < 4.0
    assert exposure(machine, "bare.service") > 9.0
    tried = {
        "echo x > /srv/other": "Read-only file system",
        "echo x > /etc/other": "Read-only file system",
        "echo 1 > /proc/sys/kernel/panic": "Read-only file system",
        "mount -t tmpfs none /mnt": "permission denied",
        "unshare --net true": "Operation not permitted",
        "su nobody -s /bin/true": "cannot set groups",
    }
    script = "\n".join(f"{each} 2>&1 || :" for each in tried)
    machine.write("/root/try.sh", script)
    # not to the journal: what `su` says is of a session of its own there, where logind was quick enough
    unit = f"[Service]\nType=oneshot\nStandardOutput=file:/run/tried\nExecStart=/bin/sh /root/try.sh\n{settings}"
    machine.write("/etc/systemd/system/try.service", unit)
    machine.sh("systemctl daemon-reload; systemctl start try || :")
    said = machine.sh("cat /run/tried")
    assert [why for why in tried.values() if said.count(why) < list(tried.values()).count(why)] == [], said


IN_HAND = """\
name: hand
every: 1s
limit: 20 per 1h
detectors:
  - name: slow
    file: /srv/go
    when: exists
    recover: [command: {argv: [/srv/slow], creates: /srv/never}]
    verify: {every: 100ms, within: 20s}
  - name: down
    daemon: {unit: /run/own.pid, match: 'sleep 7777'}
    when: not alive
    recover: [restart_daemon: {unit: /run/own.pid, match: 'sleep 7777', start: [/srv/own], settle: 100ms}]
    verify: {every: 100ms, within: 20s}
"""
SLOW = "#!/bin/sh\necho begun >> /srv/did; sleep 3; echo ended >> /srv/did; rm -f /srv/go\n"
OWN = "#!/bin/sh\nsleep 7777 >/dev/null 2>&1 &\necho $! > /run/own.pid\n"


@pytest.mark.parametrize(
    "end", ["kill -KILL $(systemctl show -p MainPID --value runbook-hand)", "systemctl stop runbook-hand"]
)
def test_a_step_in_hand_and_what_it_started_outlive_the_watch(machine, end):
    for name, text in (("slow", SLOW), ("own", OWN)):
        machine.sh(f"chmod 755 {machine.write(f'/srv/{name}', text)}")
    machine.runbook("install", machine.write("/etc/runbook/hand.yaml", IN_HAND), "--yes", "--grace", "500ms")
    try:
        machine.until("pgrep -f '^sleep 777[7]'")
        machine.sh("rm -f /srv/did; touch /srv/go")
        machine.until("[ -s /srv/did ]")
        machine.sh(end)
        machine.sh("systemctl start runbook-hand")
        machine.until("grep -q ended /srv/did && ! [ -e /srv/go ]")
        machine.until(
            "journalctl --no-pager -o cat -u runbook-hand --since -1min | grep 'hand · slow' | grep -q ': cured'"
        )
        assert machine.sh("cat /srv/did").split() == ["begun", "ended"]  # once
        daemon = machine.sh("pgrep -f '^sleep 777[7]'")
    finally:
        machine.runbook("uninstall", "hand", "--yes")
    assert machine.sh("pgrep -f '^sleep 777[7]'") == daemon  # a person's daemon does not end with the watch of it
    machine.sh("pkill -f '^sleep 777[7]'")


ODD = ("a b", "50%", "it's", "$HOME", "${HOME}", '"q"', "back\\slash", "a;b", ";", "@x", "-x", "tab\there", "%n", "é")


def test_systemd_reads_what_was_meant(machine):
    service = Service(
        "odd", ("/usr/bin/printf", "%s\\n", *ODD), ("odd",), ("/etc/x.yaml",), "/j.db",
        settings=sandbox_settings(Ground({}, writes=("/srv/with blank", "/srv/100%", '/srv/qu"ote'))),
        needed=("/srv/with blank/x",), environment={"ODD": ODD[0] + ODD[1] + ODD[3] + ODD[5]}, directory="/srv/with blank",
    )  # fmt: skip
    machine.sh("mkdir -p '/srv/with blank' '/srv/100%' '/srv/qu\"ote'")
    text = unit.text(service)
    machine.write("/etc/systemd/system/odd.service", text)
    assert machine.run("systemd-analyze", "verify", "--man=no", "/etc/systemd/system/odd.service").stderr == ""
    said = 'Type=oneshot\nStandardOutput=append:/run/odd\nExecStartPost=/bin/sh -c \'echo "$ODD"; pwd; touch "/srv/with blank/x" "/srv/100%%/x"\''
    machine.write("/etc/systemd/system/odd.service.d/x.conf", f"[Service]\n{said}\nRestart=no\nWatchdogSec=0\n")
    machine.sh("systemctl daemon-reload; systemctl start odd")
    assert machine.sh("cat /run/odd").splitlines() == [*ODD, 'a b50%$HOME"q"', "/srv/with blank"]
    machine.sh("rm -r /etc/systemd/system/odd.service*; systemctl daemon-reload")


def test_a_watch_of_several_is_not_taken_away_for_one(machine):
    service = Service("both", ("/bin/sleep", "9"), ("one", "two"), ("/etc/runbook/one.yaml", "two"), "/j.db")
    path = machine.write("/etc/systemd/system/both.service", unit.text(service))
    for name in ("one", "/etc/runbook/one.yaml", "two"):
        done = machine.runbook("uninstall", name, "--yes", check=False)
        assert done.stderr.startswith("error: `both` watches one, two, all of them or none"), done
    machine.sh(f"echo '# mine' >> {path}")
    assert machine.runbook("uninstall", "both", "--check").stdout == f"both: {path} (changed by hand since)\n"
    assert "both is gone; its journal stays: /j.db" in machine.runbook("uninstall", "both.service", "--yes").stdout
    assert machine.sh(f"ls {path} 2>&1 || :").endswith("No such file or directory")


def test_a_user_has_a_watch_under_their_own_systemd(machine):
    machine.sh("useradd -m ann; chmod 711 /root; systemctl start user@$(id -u ann).service")
    file = machine.write(
        "/home/ann/port.yaml", "name: port\nevery: 1s\ndetectors: [{name: port, port: 8000, when: not open}]\n"
    )
    machine.sh("chown ann /home/ann/port.yaml")
    ann = {"HOME": "/home/ann", "XDG_RUNTIME_DIR": f"/run/user/{machine.sh('id -u ann')}"}

    def said(*words, check=True):
        return machine.run("setpriv", "--reuid=ann", "--regid=ann", "--init-groups", *words, check=check, **ann).stdout

    program = str(Path(sys.executable).with_name("runbook"))
    done = said(program, "install", file, "--yes")
    assert "your systemd ends when you log out; `loginctl enable-linger` keeps it running" in done
    assert "log: journalctl --user -fu runbook-port" in done
    assert said("systemctl", "--user", "is-active", "runbook-port").strip() == "active"
    assert said("systemctl", "--user", "show", "-p", "NoNewPrivileges", "--value", "runbook-port").strip() == "yes"
    pid = said("systemctl", "--user", "show", "-p", "MainPID", "--value", "runbook-port").strip()
    machine.until(f"grep -q 'Seccomp:.2' /proc/{pid}/status")
    assert "is gone" in said(program, "uninstall", "--yes")
    assert said("systemctl", "--user", "list-unit-files", "runbook*", "--no-legend", check=False) == ""
    assert machine.sh("find /home/ann/.config -type f -o -type l") == ""


def test_a_unit_of_somebody_elses_is_not_touched(machine):
    file = machine.write("/etc/runbook/serving.yaml", SERVING)
    theirs = machine.write("/etc/systemd/system/runbook-serving.service", VICTIM)
    machine.sh("systemctl daemon-reload")
    done = machine.runbook("install", file, "--yes", check=False)
    assert done.returncode == 1
    assert f"{theirs}: `runbook install` did not write this unit" in done.stderr
    assert "nothing is installed" in machine.runbook("uninstall", "runbook-serving", "--yes", check=False).stderr
    assert machine.sh(f"cat {theirs}") == VICTIM.strip()
    machine.sh(f"rm {theirs}; systemctl daemon-reload")


def test_a_watch_that_does_not_come_up_says_why_at_once(machine):
    file = machine.write("/etc/runbook/serving.yaml", SERVING)
    done = machine.runbook("install", file, "--yes", "--metrics", "203.0.113.1:9", check=False)  # not this machine's
    assert done.returncode == 1
    assert "runbook-serving.service did not start" in done.stderr
    assert "203.0.113.1" in done.stderr
    machine.sh(
        "mkdir /etc/systemd/system/runbook-serving.service.d; echo '[Service]' > /etc/systemd/system/runbook-serving.service.d/mine.conf"
    )
    gone = machine.runbook("uninstall", "serving", "--yes").stdout
    assert "/etc/systemd/system/runbook-serving.service.d is not ours, and stays" in gone
    machine.sh("rm -r /etc/systemd/system/runbook-serving.service.d")


DRAIN = """\
name: nodes
every: 1s
limit: 3 per 1h
detectors:
  - name: ill
    file: /srv/ill
    when: exists
    recover: [drain_node: {node: gpu01, manager: slurm, reason: ill}]
    verify: {within: 200ms}
"""
SLURM = """\
import pathlib, signal, sys
sys.path.insert(0, {tests!r})
import slurm_cluster
pathlib.Path("/srv/slurm").mkdir()
cluster = slurm_cluster.Cluster(pathlib.Path("/srv/slurm"))
pathlib.Path("/srv/slurm/up").touch()
signal.sigwait([signal.SIGTERM])
cluster.close()
"""


def test_a_confined_watch_drains_a_node_of_slurm(machine):
    if lacks := slurm_cluster.lacking():
        pytest.skip(lacks)
    file = machine.write("/etc/runbook/nodes.yaml", DRAIN)
    machine.write("/root/slurm.py", SLURM.format(tests=str(Path(__file__).parent)))
    machine.sh("ip address add 192.0.2.1/32 dev lo || :")  # with loopback alone Slurm resolves no address
    machine.sh(f"{sys.executable} /root/slurm.py >/root/slurm.out 2>&1 &")
    machine.until("[ -e /srv/slurm/up ]")
    try:
        machine.sh("mkdir -p /etc/slurm; cp /srv/slurm/slurm.conf /etc/slurm/; touch /srv/ill")
        settings = sandbox(machine, file)
        assert "ProtectSystem=strict" in settings
        report = confined_pass(machine, "nodes", file, settings)
        assert report["incidents"][0]["steps"][0]["state"] == "done", report
        assert re.search(r"State=\S*DRAIN", machine.sh("scontrol show node gpu01"))
        assert re.search(r"Reason=runbook \[\w+\] ill", machine.sh("scontrol show node gpu01"))
    finally:
        machine.sh("pkill -TERM -f /root/slurm.p[y]; while pgrep -f /root/slurm.p[y]; do sleep 0.1; done")


GPUS = """\
name: gpus
every: 1s
limit: 3 per 1h
detectors:
  - name: hot
    gpu:
    when: temperature > 85
    recover: [{gpu_power_limit: {percent: 80}}]
    verify: {within: 200ms}
"""


def test_a_confined_watch_speaks_with_the_driver_of_gpus(machine, tmp_path):
    machine.sh(f"mkdir -p /opt/nvml; cp {fake_gpus.build(machine.kept)}/libnvidia-ml.so.1 /opt/nvml")
    there = fake_gpus.Gpus(tmp_path, tmp_path)
    there.tell(gpu1__temperature=91)
    machine.write("/dev/shm/gpus", there.state.read_text())
    file = machine.write("/etc/runbook/gpus.yaml", GPUS)
    settings = sandbox(machine, file)
    assert "ProtectSystem=strict" in settings
    assert "PrivateDevices" not in settings
    settings += "Environment=LD_LIBRARY_PATH=/opt/nvml FAKE_NVML=/dev/shm/gpus\n"
    (incident,) = confined_pass(machine, "gpus", file, settings)["incidents"]
    assert [each["state"] for each in incident["steps"]] == ["done"], incident
    assert "gpu1.power_limit=560000" in machine.sh("cat /dev/shm/gpus*")


FAR = """\
name: far
hosts: all
every: 1s
limit: 3 per 1h
detectors:
  - name: ill
    file: /srv/far
    when: not exists
    recover: [command: {argv: [touch, /srv/far], creates: /srv/far}]
"""
SSHD = """\
mkdir -p /run/sshd /root/.ssh; chmod 700 /root/.ssh
ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519; cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys
ssh-keygen -q -t ed25519 -N '' -f /root/host_key
echo "[127.0.0.1]:2222 $(cut -d' ' -f1,2 /root/host_key.pub)" > /root/.ssh/known_hosts
/usr/sbin/sshd -f /dev/null -h /root/host_key -p 2222 -o ListenAddress=127.0.0.1 -o UsePAM=no -o StrictModes=no
"""


def test_a_watch_of_other_hosts_is_confined_and_their_steps_are_not(machine):
    if shutil.which("sshd", path="/usr/sbin") is None:
        pytest.skip("no sshd here: `apt-get install openssh-server`")
    machine.sh(SSHD)
    file = machine.write("/etc/runbook/far.yaml", FAR)
    hosts = machine.write(
        "/etc/runbook/hosts.yaml", "all: {hosts: {h1: {ansible_host: 127.0.0.1, ansible_port: 2222}}}\n"
    )
    done = machine.runbook("install", file, "-i", hosts, "--yes")
    assert "Wants=network-online.target" in done.stdout
    assert "Homes can be read" in done.stdout
    try:
        assert machine.show("runbook-far", "ProtectSystem") == "strict"
        own = "/tmp /var/tmp" if str(ROOT).startswith(("/tmp/", "/var/tmp/")) else ""  # where this code lies itself
        assert machine.show("runbook-far", "ReadWritePaths") == own
        machine.until("[ -e /srv/far ]")
    finally:
        machine.runbook("uninstall", "far", "--yes")
        machine.sh("pkill -f '[s]shd.*2222'; rm -r /root/.ssh")
