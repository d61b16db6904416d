"""The codes of the NVIDIA driver that come with runbook: what each calls for, by whose word."""

from __future__ import annotations

import csv
from dataclasses import field
from functools import lru_cache
from typing import TYPE_CHECKING

from runbook.engine.language import signature_files as files
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILE = "xid.csv"


@frozen
class Xid:
    """What one code of the NVIDIA driver calls for."""

    code: int
    action: str
    mnemonic: str = ""
    meaning: str = ""
    note: str = ""  # what else decides, and where sources disagree
    companions: Mapping[str, str] = field(
        default_factory=dict
    )  # codes (* = any) that decide where they are reported with it, and what then
    nvidia: str = ""  # what NVIDIA's catalogue says to do at once, and to investigate
    gpud: str = ""  # how gpud reads it
    files: tuple[str, ...] = ()  # where it was overridden


@lru_cache(maxsize=1)
def xids() -> Mapping[int, Xid]:
    """Return the Xid codes that come with runbook."""
    with (files.folder() / _FILE).open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(line for line in opened if not line.startswith("#")))
    return {
        int(row["xid"]): Xid(
            code=int(row["xid"]),
            action=row["action"],
            mnemonic=row["mnemonic"],
            meaning=row["description"],
            note=row["note"],
            companions=dict(pair.split(":") for pair in row["companions"].split()),
            nvidia="; ".join(filter(None, (row["nvidia_immediate"], row["nvidia_investigatory"]))),
            gpud=row["gpud"],
        )
        for row in rows
    }


def xid_source() -> str:
    """Return where the table of Xid codes comes from, and its edition."""
    with (files.folder() / _FILE).open(encoding="utf-8") as opened:
        return " ".join(line[1:].strip() for line in opened if line.startswith("#"))
