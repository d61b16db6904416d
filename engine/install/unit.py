"""The text of a systemd unit that runs a watch."""

from __future__ import annotations

import hashlib
import re
import textwrap
from typing import TYPE_CHECKING, Final

from runbook.engine.install.sandbox import Setting, nameable, quoted
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MARK: Final = "# Written by `runbook install`."
_DATA: Final = "X-Runbook"  # a section that systemd leaves alone
_FIELD: Final = re.compile(r"^(Runbooks|Files|Journal)=(.*)$", re.MULTILINE)
_DIGEST: Final = re.compile(r"^Digest=([0-9a-f]{16})$", re.MULTILINE)
WATCHDOG: Final = 60  # seconds without a sign of life
_AFTER_GRACE: Final = 30  # seconds beyond `--grace`, to write down what is left
_START: Final = 120  # seconds to lint, to open the journal, and to say READY
NOTIFY_RELOAD: Final = 253  # systemd's versions
_STEPS: Final = 254
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:=,@+-]+")


@frozen
class Service:
    """What a unit is made from."""

    name: str  # without .service
    argv: tuple[str, ...]
    runbooks: tuple[str, ...]  # their names
    files: tuple[str, ...]  # as `uninstall` may be given them
    journal: str
    settings: tuple[Setting, ...] = ()
    needed: tuple[str, ...] = ()  # what must be mounted before it starts
    grace: float = 60.0  # seconds
    environment: Mapping[str, str] | None = None
    environment_file: str = ""
    directory: str = ""
    system: bool = True
    far: bool = False  # it is about other machines, too
    version: int = 0  # of systemd


def text(service: Service) -> str:
    """Return the unit's file.

    Raises:
        UserError: it can't name a path.
    """
    body = "\n".join([*_unit(service), "", *_service(service), "", *_installed(service), ""])
    return f"{body}Digest={_digest(body)}\n"


def ours(found: str) -> bool:
    """Tell whether a unit's file was written by this."""
    return found.startswith(MARK)


def changed(found: str) -> bool:
    """Tell whether somebody edited a unit's file since it was written."""
    head, _, _ = found.rpartition("Digest=")
    seen = _DIGEST.search(found)
    return seen is None or _digest(head) != seen[1] or found != f"{head}Digest={seen[1]}\n"


def told(found: str) -> Mapping[str, str]:
    """Return what a unit's file says about itself: Runbooks, Files, Journal."""
    return dict(_FIELD.findall(found.rpartition(f"[{_DATA}]")[2]))


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _unit(service: Service) -> Iterator[str]:
    scope = "" if service.system else "--user "
    yield MARK
    yield f"# `runbook uninstall {service.name}` takes it away; `systemctl {scope}edit {service.name}` is for changes."
    yield "[Unit]"
    yield f"Description=runbook watch: {_line(', '.join(service.runbooks))}"
    if service.far and service.system:
        yield "Wants=network-online.target"
        yield "After=network-online.target remote-fs.target time-sync.target"
    elif service.system:
        yield "After=network.target remote-fs.target time-sync.target"
    for path in service.needed:
        yield f"RequiresMountsFor={quoted(path)}"
    yield "# However often it fails, it is started again."
    yield "StartLimitIntervalSec=0"


def _service(service: Service) -> Iterator[str]:
    modern = service.version >= NOTIFY_RELOAD
    yield "[Service]"
    yield f"Type={'notify-reload' if modern else 'notify'}"
    yield "NotifyAccess=main"
    yield f"ExecStart={command(service.argv)}"
    if not modern:
        yield "ExecReload=/bin/kill -HUP $MAINPID"
    if service.directory:
        yield f"WorkingDirectory={nameable(service.directory).replace('%', '%%')}"
    for name, value in (service.environment or {}).items():
        yield f"Environment={assigned(name, value)}"
    if service.environment_file:
        yield f"EnvironmentFile={nameable(service.environment_file).replace('%', '%%')}"
    yield "Restart=always"
    yield f"RestartSec={1 if service.version >= _STEPS else 3}s"
    if service.version >= _STEPS:
        yield "RestartSteps=6"
        yield "RestartMaxDelaySec=1min"
    yield f"TimeoutStartSec={_START}s"
    yield f"WatchdogSec={WATCHDOG}s"
    yield "TimeoutAbortSec=10s"
    yield from _comment(
        "The watch alone is stopped. An agent ends the step that it has in hand and then itself, and what"
    )
    yield from _comment("a step started lives on, as it does when the watch dies.")
    yield "KillMode=process"
    yield f"TimeoutStopSec={round(service.grace) + _AFTER_GRACE}s"
    yield "OOMPolicy=continue"
    if service.system:
        yield "StateDirectory=runbook"
        yield "StateDirectoryMode=0700"
    yield ""
    for setting in service.settings:
        if setting.why:
            yield from _comment(setting.why)
        if setting.name:
            yield f"{setting.name}={setting.value}"


def _installed(service: Service) -> Iterator[str]:
    yield "[Install]"
    yield f"WantedBy={'multi-user.target' if service.system else 'default.target'}"
    yield ""
    yield f"[{_DATA}]"
    yield f"Runbooks={_line(', '.join(service.runbooks))}"
    yield f"Files={command(service.files)}"
    yield f"Journal={_line(service.journal)}"


def _comment(why: str) -> Iterable[str]:
    wrapped = textwrap.wrap(
        _plain(why), 110, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False, break_long_words=False
    )
    return [_ended(line) for line in wrapped]


def _line(given: str) -> str:
    return _ended(_plain(given).replace("%", "%%"))


def _plain(given: str) -> str:
    """Return a text as one line."""
    return " ".join("".join(each if each.isprintable() else " " for each in given).split())


def _ended(line: str) -> str:
    """Return a line that swallows none below it: one backslash at its end would, two are one."""
    return line + "\\" * ((len(line) - len(line.rstrip("\\"))) % 2)


def command(words: Sequence[str]) -> str:
    """Return a command line of which systemd makes these very words."""
    return " ".join(_word(word) for word in words)


def assigned(name: str, value: str) -> str:
    """Return what sets a variable of the environment to this very value."""
    return _quoted(f"{name}={value}")


def _word(word: str) -> str:
    """Return a word of a command line; `$` would name a variable."""
    return word if _PLAIN.fullmatch(word) else _quoted(word.replace("$", "$$"))


def _quoted(given: str) -> str:
    escaped = "".join(_ESCAPES.get(each, each) for each in given)
    return f'"{escaped}"'


_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "%": "%%", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
