"""Compiling for hyperscan, here or in a process of its own: that takes some 50 MB, which are not wanted back.

Nothing but the standard library is imported, so that the process is as small as it can be.
"""

import importlib
import json
import subprocess
import sys
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple


class Written(NamedTuple):
    """What is to be compiled."""

    number: int  # what it is reported by; several may have the same
    text: bytes
    folds: bool = False  # it ignores case


Compiled = Tuple[bytes, List[int]]
"""A database, as hyperscan writes it, and the numbers of what it could not compile."""


def compiled(hyperscan: Any, written: Sequence[Written]) -> Compiled:
    """Compile expressions."""
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    try:
        _compile(hyperscan, database, written)
    except hyperscan.error:
        kept = [each for each in written if _compiles(hyperscan, each)]  # it does not tell which is wrong
        if len(kept) == len(written):
            raise
        return compiled(hyperscan, kept)[0], [each.number for each in written if each not in kept]
    return hyperscan.dumpb(database), []


def _compile(hyperscan: Any, database: Any, written: Sequence[Written]) -> None:
    flags = (hyperscan.HS_FLAG_MULTILINE, hyperscan.HS_FLAG_MULTILINE | hyperscan.HS_FLAG_CASELESS)
    database.compile(
        expressions=[each.text for each in written],
        ids=[each.number for each in written],
        elements=len(written),
        flags=[flags[each.folds] for each in written],
    )


def _compiles(hyperscan: Any, written: Written) -> bool:
    try:
        _compile(hyperscan, hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK), [written])
    except hyperscan.error:
        return False
    return True


def apart(written: Sequence[Written]) -> Optional[Compiled]:
    """Compile in another process; return None where there can't be one."""
    if not sys.executable:
        return None
    given = json.dumps([sys.path, [(number, text.decode("latin-1"), folds) for number, text, folds in written]])
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _PROGRAM], input=given.encode(), capture_output=True, check=False
        )
    except OSError:
        return None
    if done.returncode:
        return None
    refused, _, database = done.stdout.partition(b"\n")
    return database, json.loads(refused)


_PROGRAM = f"""
import json, sys
sys.path, written = json.load(sys.stdin)
from {__name__} import answer
answer(written)
"""


def answer(given: Sequence[Tuple[int, str, bool]]) -> None:
    """Compile what was given, and write it out."""
    written = [Written(number, text.encode("latin-1"), folds) for number, text, folds in given]
    database, refused = compiled(importlib.import_module("hyperscan"), written)
    sys.stdout.buffer.write(json.dumps(refused).encode() + b"\n" + database)
