"""All that the journal holds, as a stream of plain mappings: for other programs, and for a copy that people can read.

Secrets are not in it: they were taken out when it was written.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook.engine.journal.store import Journal

TABLES: Final = (
    *("runs", "incidents", "intents", "events", "holds", "cursors", "pools", "leases", "watches"),
    *("approvals", "acks", "maintenance", "resets", "crashes", "crash_files"),
)
_JSON: Final = frozenset({"data", "state", "params", "outcome", "told"})  # columns that hold JSON, where they do
_AT_ONCE: Final = 1000  # rows


def export(journal: Journal) -> Iterator[dict[str, Any]]:
    r"""Yield the journal as it is at one moment, whatever is written meanwhile.

    First `{"journal": id, "schema": version}`, then each row as `{"table": name, …}` with its columns, whose JSON is
    read: `data` of events, incidents and holds, `state` of cursors, `params` and `outcome` of intents, `told` of
    watches.

    Example:
        >>> with open_journal(read_only=True) as journal:  # doctest: +SKIP
        ...     sys.stdout.writelines(json.dumps(row) + "\n" for row in export(journal))
    """
    with journal.at_one_moment() as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        yield {"journal": journal.id, "schema": version}
        for table in TABLES:
            rows = connection.execute(f"SELECT * FROM {table} ORDER BY 1")  # noqa: S608 -- tables of this file
            names = [column[0] for column in rows.description]
            while some := rows.fetchmany(_AT_ONCE):
                for row in some:
                    yield {"table": table, **{name: _value(name, each) for name, each in zip(names, row, strict=True)}}


def _value(name: str, column: Any) -> Any:
    if name not in _JSON or not isinstance(column, str) or column[:1] not in ("{", "["):
        return column
    return json.loads(column)
