"""What was read of a file, by its first and last bytes: by them it is known again, even while it is read."""

from typing import Union

from runbook.modules.logs.content import Content
from runbook.modules.logs.cursor import HEAD, TAIL, Cursor, fingerprint


class Span:
    """The bytes from a file's begin to an offset, of which only the first and the last are kept."""

    def __init__(self, content: Content, offset: int) -> None:
        self._first = content.pread(min(HEAD, offset), 0)
        self.last = content.pread(min(TAIL, offset), max(0, offset - TAIL))

    def fits(self, content: Content, cursor: Cursor) -> bool:
        """Tell whether these are the bytes that a cursor stands behind; one at the begin may know what comes."""
        if not cursor.offset:
            return cursor.shares_head(content)
        return (fingerprint(self._first), fingerprint(self.last)) == (cursor.head, cursor.tail)

    def add(self, part: "Union[bytes, memoryview]") -> None:
        """Take in what comes next."""
        if len(self._first) < HEAD:
            self._first += part[: HEAD - len(self._first)]
        self.last = bytes(part[-TAIL:]) if len(part) >= TAIL else (self.last + part)[-TAIL:]

    def stands(self, content: Content, offset: int, waiting: bytes = b"", block: bytes = b"") -> bool:
        """Tell whether a block is what follows these bytes, and not of what the file was begun anew with.

        To be asked after the block was read: a file that is as it was before has been so all the while.

        Args:
            content: the file.
            offset: where these bytes end.
            waiting: what was read behind them before.
            block: what was read behind that just now.
        """
        if content.packed:
            return True  # nobody cuts it and goes on
        first = (self._first + waiting[:HEAD] + block[:HEAD])[:HEAD] if len(self._first) < HEAD else self._first
        last = (self.last + waiting[-TAIL:])[-TAIL:]
        end = offset + len(waiting)
        return content.pread(len(first), 0) == first and content.pread(len(last), end - len(last)) == last

    def mark(self, cursor: Cursor) -> None:
        """Let a cursor at the offset know the file by them."""
        cursor.head, cursor.head_length = fingerprint(self._first), len(self._first)
        cursor.tail = fingerprint(self.last)
