"""A journal that another process makes at this moment is no other program's database."""

import sqlite3

from runbook.engine.journal import database
from runbook.engine.journal.store import open_journal


class Meanwhile(sqlite3.Connection):
    """Has a journal made behind its first question."""

    made = None

    def execute(self, question, *values):
        found = super().execute(question, *values).fetchall()
        if self.made is not None:
            make, self.made = self.made, None
            make()
        return super().execute(question, *values) if not found else _Rows(found)


class _Rows:
    def __init__(self, rows):
        self._rows = rows

    def fetchone(self):
        return self._rows[0]


def test_a_reader_that_comes_while_it_is_made_takes_it_for_a_journal(tmp_path):
    place = tmp_path / "journal.db"
    connection = sqlite3.connect(place, factory=Meanwhile, isolation_level=None)
    connection.made = lambda: open_journal(str(place)).close()
    try:
        database._refuse_foreign(connection, place)
    finally:
        connection.close()
    assert place.stat().st_size > 0
