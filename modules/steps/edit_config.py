"""The step `edit_config`."""

import errno
import math
import os
import stat
from dataclasses import field
from typing import Any, Dict, List, Literal, Mapping, Tuple

from runbook.modules.acting import tree
from runbook.modules.actions import Action, Write
from runbook.modules.declare import Failed, Impact, Invalid, Path, Refused, Step
from runbook.modules.formats import config_files
from runbook.modules.frozen import frozen
from runbook.modules.host import Host

LARGEST = 16 * 1024 * 1024  # bytes; nobody writes a config as long as that by hand


@frozen
class EditConfig(Step):
    """Change values of a JSON, YAML or TOML file; all else in it, comments and layout included, stays as it is.

    Keys are dotted (`train.batch_size`), items of lists are numbers from 0 (`servers.0.port`), and a dot within a name
    has a backslash before it. The edits are made in the order of the parameters, the new text is read back before it
    is written, and a file that somebody else changed meanwhile is left alone. `set` makes keys that are not there, and
    a mapping or list that it sets replaces what was there; `multiply`, `add`, `min` and `max` need a number. Whole
    numbers stay whole: `multiply` rounds down, but never from 1 or more to 0. When a crash broke off a step with
    `multiply`, `add` or the deletion of a list's item, a person decides about it; else it is simply run again.

    A mapping or list that a YAML file has over several lines is replaced over several lines; its comments go with it.
    What can't be done without disturbing the rest, such as what lies behind an alias, is refused.

    Example:
        - edit_config:
            path: /opt/train/config.json
            multiply: {train.batch_size: 0.5}
            min: {train.batch_size: 1}
        - edit_config: {path: /opt/serve/active.json, set: {port: 8001}, delete: [draining]}
    """

    impact = Impact.LOW
    idempotent = False  # but see `again`
    needs = ("ruamel.yaml", "tomlkit")
    writes = ("path",)

    path: Path  # the file
    set: Mapping[str, Any] = field(default_factory=dict)  # the value for each key
    multiply: Mapping[str, float] = field(default_factory=dict)  # the factor for each key
    add: Mapping[str, float] = field(default_factory=dict)  # what to add, for each key
    min: Mapping[str, float] = field(default_factory=dict)  # the least value for each key
    max: Mapping[str, float] = field(default_factory=dict)  # the greatest value for each key
    delete: Tuple[str, ...] = ()  # keys to remove, where they are there
    format: Literal["auto", "json", "yaml", "toml"] = "auto"  # what the file holds; auto goes by its suffix

    def check(self) -> None:
        """Something to do, in a format that is known, and no key told two things."""
        edited = [*self.set, *self.multiply, *self.add, *self.min, *self.max, *self.delete]
        if not edited:
            raise Invalid("nothing to do: write at least one of set, multiply, add, min, max and delete")
        if not all(all(config_files.split(key)) for key in edited):
            raise Invalid("a key has an empty part: write names with single dots between them")
        for key in self.delete:
            if edited.count(key) > 1:
                raise Invalid(f"`{key}` is both changed and deleted")
        for key, operand in [*self.multiply.items(), *self.add.items(), *self.min.items(), *self.max.items()]:
            if not math.isfinite(operand):
                raise Invalid(f"`{key}` can't be changed by {operand}: write a finite number")
        for key in self.multiply:
            if self.multiply[key] <= 0:
                raise Invalid(f"`multiply` by {self.multiply[key]:g} makes no size of `{key}`; use `set`")
        for key in [*self.multiply, *self.add]:
            if key in self.set:
                raise Invalid(f"`{key}` is both set and calculated; set the result")
        for key in self.min:
            if key in self.max and self.max[key] < self.min[key]:
                raise Invalid(f"`{key}` can't be at least {self.min[key]:g} and at most {self.max[key]:g}")
        self._kind()

    def needed(self) -> Tuple[str, ...]:
        """What reads and writes the file's format."""
        return {"yaml": self.needs[:1], "toml": self.needs[1:]}.get(self._kind(), ())

    def again(self) -> bool:
        """Whether a second run changes nothing more."""
        moves = any(config_files.split(key)[-1].isdecimal() for key in self.delete)  # items behind it take its number
        return not self.multiply and not self.add and not moves

    def plan(self, host: Host) -> List[Action]:
        """Write the file anew when a value in it is to be another."""
        tree.inside(self.path, host.writable)
        content = self._read()
        edits = config_files.Edits(self.set, self.multiply, self.add, self.min, self.max, self.delete)
        try:
            changed = config_files.change(content.decode("utf-8"), self._kind(), edits)
            made = changed.text.encode("utf-8")
        except UnicodeError as error:
            raise Failed(f"{self.path}: no UTF-8: {error}") from error
        except Failed as error:
            raise Failed(f"{self.path}: {error}") from error
        numbers = {key: pair for key, pair in changed.values.items() if all(_tellable(value) for value in pair)}
        host.remember(
            keys=list(changed.values),
            before={key: before for key, (before, _) in numbers.items()},
            after={key: after for key, (_, after) in numbers.items()},
        )
        if not changed.values:
            return []
        return [Write(self.path, made, before=content)]

    def report(self, host: Host) -> Dict[str, Any]:
        """Say which keys changed, and what the numbers among them were and are."""
        return {name: host.kept[name] for name in ("keys", "before", "after") if name in host.kept}

    def _kind(self) -> str:
        if self.format != "auto":
            return self.format
        suffix = os.path.splitext(self.path)[1].lower()
        if suffix not in config_files.SUFFIXES:
            raise Invalid(f"what {self.path} holds can't be told from its name: write `format: json`, yaml or toml")
        return config_files.SUFFIXES[suffix]

    def _read(self) -> bytes:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise Refused(f"{self.path} is a link; name the file that it leads to") from error
            raise Failed(f"{self.path} can't be read: {error.strerror}") from error
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Refused(f"{self.path} is not a regular file")
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise Failed(f"{self.path} is larger than {LARGEST >> 20} MiB, which is no config")
        return content


def _tellable(value: Any) -> bool:
    """Tell whether a value may stand in a report: a text may be a secret, of which nobody knows here."""
    return value is None or isinstance(value, (bool, int, float))
