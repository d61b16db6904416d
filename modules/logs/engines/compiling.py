"""Compiling for hyperscan, here or in a process of its own: that takes some 50 MB, which are not wanted back.

Nothing but the standard library is imported, so that the process is as small as it can be.
"""

import importlib
import json
import subprocess
import sys
from typing import Any, Dict, List, Optional, Tuple

Written = Tuple[bytes, bool]
"""An expression, and whether it ignores case."""

Compiled = Tuple[bytes, List[int]]
"""A database, as hyperscan writes it, and the numbers of the expressions that it could not compile."""


def compiled(hyperscan: Any, written: Dict[int, Written]) -> Compiled:
    """Compile expressions by their numbers."""
    refused: List[int] = []
    while True:
        kept = {number: text for number, text in written.items() if number not in refused}
        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        try:
            _compile(hyperscan, database, kept)
        except hyperscan.error:
            wrong = [number for number in kept if not _compiles(hyperscan, kept[number])]  # it does not tell which
            if not wrong:
                raise
            refused += wrong
        else:
            return hyperscan.dumpb(database), refused


def _compile(hyperscan: Any, database: Any, written: Dict[int, Written]) -> None:
    database.compile(
        expressions=[text for text, _ in written.values()],
        ids=list(written),
        elements=len(written),
        flags=[
            hyperscan.HS_FLAG_MULTILINE | (hyperscan.HS_FLAG_CASELESS if folds else 0) for _, folds in written.values()
        ],
    )


def _compiles(hyperscan: Any, text: Written) -> bool:
    try:
        _compile(hyperscan, hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK), {0: text})
    except hyperscan.error:
        return False
    return True


def apart(written: Dict[int, Written]) -> Optional[Compiled]:
    """Compile in another process; return None where there can't be one."""
    if not sys.executable:
        return None
    given = json.dumps([sys.path, [[number, text.decode("latin-1"), folds] for number, (text, folds) in written.items()]])
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


def answer(given: List[Tuple[int, str, bool]]) -> None:
    """Compile what was given, and write it out."""
    written = {number: (text.encode("latin-1"), folds) for number, text, folds in given}
    database, refused = compiled(importlib.import_module("hyperscan"), written)
    sys.stdout.buffer.write(json.dumps(refused).encode() + b"\n" + database)
