"""Made-up facts of a pass over many hosts, in which every state occurs: what the reports are judged on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runbook.engine.journal.facts import Fact

START = 1_700_000_000.0
RUN = "5f3a91c3"
ORDER = ("disk full", "server down", "gpu overheating", "gpus present", "old checkpoints")


def names(count: int) -> list[str]:
    """gpu001, gpu002, …"""
    return [f"gpu{number:0{max(2, len(str(count)))}}" for number in range(1, count + 1)]


def fact(kind: str, at: float = 0.0, host: str = "", about: Sequence[str] = ("", "", ""), **data) -> Fact:
    """One fact at so many seconds; `about` is (incident, detector, subject)."""
    incident, detector, subject = about
    operation = data.pop("operation", "")
    data = {name.removesuffix("_"): value for name, value in data.items()}
    return Fact(kind, START + at, RUN, host, detector, subject, incident, operation, "", data)


def begun(hosts: Sequence[str], **data) -> Fact:
    """A pass begins."""
    known = {"runbook": "gpu-health", "hosts": list(hosts), "detectors": len(ORDER), "order": list(ORDER)}
    return fact("run.begun", **{**known, **data})


def opened(host: str, at: float, about, **data) -> Fact:
    """An incident opens."""
    return fact("incident.opened", at, host, about, **{"severity": "high", "since": START + at, **data})


def restarted(host: str, at: float, about) -> Iterator[Fact]:
    """A server is found down, restarted, and seen well again."""
    yield opened(host, at, about, when="status != 200", fields={"status": 0, "latency": 0.003})
    yield fact("step.begun", at, host, about, module="restart_daemon", title="restart_daemon")
    done = [{"action": "run", "what": "systemctl restart vllm", "changed": True}]
    yield fact("step.ended", at + 2, host, about, module="restart_daemon", title="restart_daemon", status="done",
               changed=True, duration=1.9, actions=done)  # fmt: skip
    yield fact("incident.changed", at + 2, host, about, to="verifying")
    yield fact("incident.ended", at + 4 + at / 3, host, about, to="cured", fields={"status": 200}, when="status != 200")


def ill(number: int, host: str, at: float) -> Iterator[Fact]:
    """What happens on a host; most are well, and there is nothing to tell of them."""
    ident = f"{number:08x}"
    kind = number % 64
    if kind in {3, 4, 5}:
        yield from restarted(host, at, (ident, "server down", "vllm"))
    elif kind == 17:
        about = (ident, "server down", "vllm")
        yield opened(host, at, about, when="status != 200", fields={"status": 0})
        error = "Job for vllm.service failed because the control process exited with error code"
        yield fact("step.ended", at + 9, host, about, module="restart_daemon", title="restart_daemon", status="failed",
                   error=error, duration=9.0, output="vllm: CUDA out of memory\n")  # fmt: skip
        yield fact("incident.ended", at + 300, host, about, to="unhealed", reason=f"restart_daemon: {error}")
    elif kind in {20, 21, 22, 23, 24, 25, 26, 27, 28, 30, 40, 41, 42}:
        fields = {"disk_free": 2e9 / (number + 1), "path": "/data"}
        yield opened(host, at, (ident, "disk full", "/data"), state="suppressed", when="disk_free < 50GB",
                     fields=fields, reason="limit: 3 recoveries per 1h are used up; the next at 14:32")  # fmt: skip
    elif kind in {33, 34}:
        about = (ident, "old checkpoints", "/data/run")
        yield opened(host, at, about, when="count > 10", fields={"count": 10 + number})
        yield fact("incident.changed", at + 1, host, about, to="waiting",
                   reason="prune_checkpoints is destructive: approve it")  # fmt: skip
    elif kind in {44, 45, 46}:
        yield opened(host, at, (ident, "gpu overheating", f"GPU-{number % 8}"), state="observed",
                     when="temperature > 85", fields={"temperature": 85 + number % 9})  # fmt: skip
    elif kind in {48, 49}:
        yield fact("look.unknown", at, host, detector_="gpus present", detector="gpus present",
                   reason=f"nvidia-smi on {host} did not answer within 10s")  # fmt: skip
    elif kind in {50, 51, 52, 53}:
        yield fact("host.unreachable", at, host, reason=f"{host}: no answer from 10.0.0.{number % 250}:22 within 10s")
    elif kind == 60:
        yield fact("host.unreachable", at, host, reason="its host key has changed: SHA256:abc")
    elif kind in {55, 56}:
        yield fact("look.absent", at, host, detector="gpu overheating", reason="no NVIDIA driver")
    elif kind == 58:
        yield fact("incident.pending", at, host, detector_pending="server down", subject_pending="vllm",
                   since=START + at - 11, hold=30.0, fields={"status": 0}, when="status != 200")  # fmt: skip


def looked_well(number: int, host: str, at: float) -> Iterator[Fact]:
    """What `check` tells of what is well."""
    if number % 64 not in {20, 21, 22, 23, 24, 25, 26, 27, 28, 30, 40, 41, 42}:
        yield fact("look.well", at, host, ("", "disk full", "/data"), when="disk_free < 50GB",
                   fields={"disk_free": 60e9 + number * 1e9, "path": "/data"})  # fmt: skip
    for gpu in range(8):
        if number % 64 not in {44, 45, 46, 55, 56}:
            yield fact("look.well", at, host, ("", "gpu overheating", f"GPU-{gpu}"), when="temperature > 85",
                       fields={"temperature": 40 + gpu + number % 30})  # fmt: skip
    yield fact("look.well", at, host, ("", "new errors", ""))


def a_pass(count: int, **data) -> Iterator[Fact]:
    """Return the facts of a pass over so many hosts, a fifth to a third of which have something to tell."""
    hosts = names(count)
    yield begun(hosts, **data)
    for number, host in enumerate(hosts, 1):
        at = 0.01 * number
        reached = number % 64 not in {50, 51, 52, 53, 60}
        if reached:
            yield fact("host.reached", at, host)
        yield from ill(number, host, at)
        if reached and data.get("check"):
            yield from looked_well(number, host, at)
        if reached:
            yield fact("host.looked", at, host)
    yield fact("run.ended", 0.01 * count + 5, duration=5.0)
