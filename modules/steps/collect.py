"""The step `collect`."""

import os
from typing import Any, Dict, List, Mapping, Tuple

from runbook.modules.acting.hands import Hands, counted, size
from runbook.modules.actions import Action, Do
from runbook.modules.declare import Impact, Invalid, Path, Size, Step
from runbook.modules.evidence import bundle
from runbook.modules.evidence.pieces import Piece, pieces
from runbook.modules.evidence.redaction import Redaction
from runbook.modules.frozen import frozen
from runbook.modules.host import Host


@frozen
class Collect(Step):
    """Write a bundle of evidence before a recovery wipes it away: what the host says at this moment, as a tar.gz.

    In it are the lines around the finding that opened the incident, `dmesg`, `nvidia-smi -q`, the process table, the
    files and the ends of the logs that are named, and a manifest that says what could not be had. The runbook's
    secrets are taken out of all of it, and so is what looks like one: tokens, keys, passwords, authorization headers.
    Only its owner can read it (mode 600). With `register: evidence`, `evidence.path` says where it is.

    Example:
        - collect:
            into: /var/lib/evidence
            files: [/etc/vllm/config.yaml]
            logs: [/var/log/vllm/server.log]
          register: evidence
    """

    impact = Impact.NONE
    gathers = True
    writes = ("into",)

    into: Path  # a directory in `writable`; made when it is missing
    files: Tuple[Path, ...] = ()  # files as they are, such as configuration
    logs: Tuple[Path, ...] = ()  # logs, of which the end is taken
    units: Tuple[str, ...] = ()  # systemd units, of whose journal the end is taken
    lines: int = 1000  # how many lines of each log, and around the finding
    max_size: Size = 50 * 10**6  # bytes in all, before they are compressed; what tells least is left out
    keep: int = 10  # how many bundles stay in `into`; older ones are deleted

    def check(self) -> None:
        """Numbers that leave something."""
        if self.keep < 1:
            raise Invalid(f"`keep: {self.keep}` would keep nothing: write at least 1")
        if self.lines < 1:
            raise Invalid(f"`lines: {self.lines}` would take nothing: write at least 1")

    def plan(self, host: Host) -> List[Action]:
        """Name what is to be had; nothing is read yet."""
        found = list(pieces(host, logs=self.logs, files=self.files, units=self.units, lines=self.lines))
        called = bundle.name(host.now(), str(host.about.get("incident") or ""))
        path = os.path.join(self.into, called)
        what = f"write {path}: {', '.join(piece.source for piece in found)}"
        return [Do(what, lambda hands: self._collect(hands, host, called, found))]

    def _collect(self, hands: Hands, host: Host, called: str, found: List[Piece]) -> Mapping[str, Any]:
        redaction = Redaction(host.hide, hands.mask)
        told = bundle.write(hands, self.into, called, found, redaction, _about(host), self.max_size)
        bundle.prune(hands, self.into, self.keep, host.now())
        path = os.path.join(self.into, called)
        lacking = f"; not there: {', '.join(told['missing'])}" if told["missing"] else ""
        return {
            "what": f"write {path} ({size(told['bytes'])}, {counted(told['pieces'], 'piece')}){lacking}",
            "path": path,
            **told,
        }


def _about(host: Host) -> Dict[str, Any]:
    kept = {
        name: host.about[name] for name in ("runbook", "incident", "detector", "subject", "host") if name in host.about
    }
    return {
        "schema": 1,
        "made": host.now(),
        **kept,
        "machine": host.name(),
        "boot_id": host.boot_id(),
        "uptime": round(host.uptime(), 1),
    }
