"""`runbook install` and `uninstall` under a real systemd, in a machine that boots."""

from __future__ import annotations

import json
import re
import sys

import installed_host
import pytest
from installed_host import Machine

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


def killed(machine, unit="victim"):
    """Kill a daemon, and return the pid that it had."""
    before = machine.show(unit, "MainPID")
    machine.sh(f"systemctl kill --signal=KILL {unit}")
    return before


def healed(machine, before, unit="victim", within=20.0):
    """Wait until it runs again, under another pid."""
    return machine.until(
        f"p=$(systemctl show -p MainPID --value {unit}); [ $p != 0 ] && [ $p != {before} ] && echo $p", within
    )


def test_a_watch_is_installed_heals_outlives_a_kill_reloads_and_leaves_nothing(machine):
    file = machine.write("/etc/runbook/serving.yaml", SERVING)
    assert machine.sh(TRACES) == "/etc/runbook"
    done = machine.runbook("install", file, "--yes")
    assert "runbook-serving watches; log: journalctl -fu runbook-serving" in done.stdout
    unit = "runbook-serving.service"
    assert (machine.show(unit, "ActiveState"), machine.show(unit, "UnitFileState")) == ("active", "enabled")
    assert machine.show(unit, "StatusText")
    healed(machine, killed(machine))

    main = machine.show(unit, "MainPID")
    machine.sh(f"kill -KILL {main}")
    machine.until(
        f"[ $(systemctl show -p ActiveState --value {unit}) = active ] && [ $(systemctl show -p MainPID --value {unit}) != {main} ]"
    )
    assert machine.show(unit, "NRestarts") == "1"
    healed(machine, killed(machine))

    machine.write("/etc/systemd/system/other.service", VICTIM)
    machine.sh("systemctl daemon-reload; systemctl start other")
    machine.write(
        file, SERVING + SERVING.partition("detectors:\n")[2].replace("down", "other down").replace("victim", "other")
    )
    machine.sh(f"systemctl reload {unit}")
    healed(machine, killed(machine, "other"), "other")
    assert machine.show(unit, "NRestarts") == "1"

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
    machine.write(
        "/etc/systemd/system/try.service", f"[Service]\nType=oneshot\nExecStart=/bin/sh /root/try.sh\n{settings}"
    )
    machine.sh("systemctl daemon-reload; systemctl start try || :")
    said = machine.sh("journalctl --no-pager -o cat -u try")
    assert [why for why in tried.values() if said.count(why) < list(tried.values()).count(why)] == [], said
