"""Reading the files of an inventory: bounded, and decrypted where they are vaulted."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.errors import UserError
from runbook.engine.inventory import vault, yaml11

if TYPE_CHECKING:
    from runbook.engine.inventory.draft import Draft

MAX_BYTES: Final = 64 << 20
_MANY: Final = 100  # warnings of one file
_GIVEN = re.compile(r"/dev/stdin|/(?:dev|proc/self)/fd/\d+")  # what the shell opened, as in -i <(…)
_COMMENT = re.compile(rb"^[#;].*$", re.MULTILINE)


class Files:
    """Reads files, and remembers what was said of them.

    Args:
        opener: decrypts what is vaulted.
        draft: takes the warnings.
    """

    def __init__(self, opener: vault.Vault, draft: Draft) -> None:
        self.vault = opener
        self.draft = draft

    def text(self, path: str) -> tuple[str, bool]:
        """Return a file's text, and whether it came out of a vault.

        Raises:
            UserError: it can't be read, or not decrypted.
        """
        data = read(path)
        try:
            text = decoded(data)
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise UserError("this is not UTF-8", where=f"{path}:{line}", mend="save the file as UTF-8") from None
        if text.startswith(vault.HEADER):
            return self.vault.decrypt(text, path), True
        return text, False

    def data(self, path: str) -> Any:
        """Return the data of a YAML or JSON file.

        Raises:
            UserError: it is neither, can't be read, or not decrypted.
        """
        text, opened = self.text(path)
        return self.parsed(text, path, opened=opened)

    def parsed(self, text: str, path: str, *, opened: bool) -> Any:
        """Return the data of a text, and keep what is worth a warning."""
        notices: list[yaml11.Notice] = []
        data = yaml11.read(text, path, notices, opened=opened)
        twice = [
            notice for notice in notices if notice.code == "RB002"
        ]  # what Ansible warns of too; the traps are lint's
        for notice in twice[:_MANY]:
            line, column = notice.mark
            self.draft.warnings.append(f"{path}:{line}:{column}: {notice.message}")
        return data


def decoded(data: bytes) -> str:
    """Return the text; a comment on a line of its own may be of any encoding, as in Ansible.

    Raises:
        UnicodeDecodeError: the rest is not UTF-8.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return _COMMENT.sub(b"", data).decode("utf-8")


def read(path: str) -> bytes:
    """Return a file's bytes.

    Raises:
        UserError: it can't be read, is no file, or too large.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if _GIVEN.fullmatch(path) else os.O_NONBLOCK))
        with open(descriptor, "rb") as file:  # noqa: PTH123 -- it is open
            if not stat.S_ISREG(os.fstat(descriptor).st_mode) and not _GIVEN.fullmatch(path) and path != os.devnull:
                raise UserError("this is no file", where=path, mend="name a file, a directory or an executable")
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"the inventory can't be read: {reason}", where=path) from None
    if len(data) > MAX_BYTES:
        raise UserError(f"an inventory file has at most {MAX_BYTES >> 20} MiB", where=path)
    return data
