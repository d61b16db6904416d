"""`runbook new`: a runbook to start from, or a step or probe of your own."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runbook.engine.errors import UserError

if TYPE_CHECKING:
    from runbook.engine.language.own.read import Noun

_SUFFIXES = (".yaml", ".yml")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_STARTER = """\
# Completion in an editor: `runbook schema > runbook.schema.json`, and this as the first line:
# yaml-language-server: $schema=runbook.schema.json
name: {name}
description: Keep a service up and its disk from filling.   # what this runbook looks after
every: 30s                                   # how often `watch`, or your cron job, looks

writable: ["{{{{ cache }}}}"]                    # the only trees in which steps may write or delete
limit: 3 per 1h                              # at most so many recoveries of a detector; the rest is for a person
cooldown: 2m                                 # the pause after each

vars:                                        # -e NAME=VALUE sets them for one run
  service: my-service                        # as systemd names it, or the path of a pidfile
  health_url: http://127.0.0.1:8000/health
  cache: /var/cache/my-service

# A detector is a probe, a condition over the fields of its records, and what to do about it.
# `runbook doc` lists probes and steps; `runbook doc http` tells the fields of one.
detectors:
  - name: service down
    daemon: "{{{{ service }}}}"
    when: not alive
    for: 1m                                  # it must hold this long: a restart in progress is no fault
    recover:
      - restart_daemon: {{unit: "{{{{ service }}}}"}}
    verify: {{for: 20s, within: 5m}}           # cured when it has been well for 20 s; unhealed after 5 min
    unhealed:
      - notify: "{{{{ incident.host }}}}: {{{{ service }}}} stays down"

  - name: service does not answer
    http: "{{{{ health_url }}}}"
    when: status != 200                      # 0 where nobody answers
    for: 2m
    recover:
      - restart_daemon: {{unit: "{{{{ service }}}}"}}
    verify: {{for: 20s, within: 5m}}

  - name: disk filling
    health: {{path: /}}
    when: disk_used_percent > 90%
    clear: disk_used_percent < 85%           # over only here, so that it does not flap
    recover:
      - clear_cache: {{path: "{{{{ cache }}}}", older_than: 7d}}   # destructive: waits for approval, or `apply --yes`

# Next: `runbook lint {file}`, then `runbook check {file}`, then `runbook apply {file}`.
"""


@click.command("new", short_help="Write a runbook, a step or a probe to start from.")
@click.argument("words", nargs=-1, required=True, metavar="[step|probe] NAME")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def command(words: tuple[str, ...], *, force: bool) -> None:
    """Write NAME.yaml, a runbook with comments to start from. NAME may have directories and a .yaml of its own.

    `step NAME` and `probe NAME` write a module of your own that works, with its cases, into ./runbook_modules: runbooks
    in this directory can name it at once.

    \b
    Example:
      runbook new serving
      runbook new runbooks/serving.yaml
      runbook new step raise_flag
      runbook new probe queue_length
    """
    if len(words) == 2 and words[0] in {"step", "probe"}:
        _module("step" if words[0] == "step" else "probe", words[1], force=force)
        return
    if words in {("step",), ("probe",)}:
        raise UserError(f"which {words[0]}?", mend=f"`runbook new {words[0]} NAME`; or a runbook: {words[0]}.yaml")
    if len(words) != 1:
        raise UserError(f"`{words[1]}` is one word too many", mend="`runbook new NAME`, or `runbook new step NAME`")
    name = words[0]
    file = Path(name if name.endswith(_SUFFIXES) else f"{name}.yaml")
    if not _NAME.fullmatch(file.stem):
        mend = "use letters, digits, `-`, `_` and `.`, beginning with a letter or digit"
        raise UserError(f"`{file.stem}` can't be a runbook's name", mend=mend)
    _write(file, _STARTER.format(name=_quoted(file.stem), file=file), force=force)
    click.echo(f"wrote {file}; next: edit its vars, then `runbook lint {file}` and `runbook check {file}`")


def _module(noun: Noun, name: str, *, force: bool) -> None:
    from runbook.engine.cli import _starters
    from runbook.engine.language.own import folders
    from runbook.engine.language.own.read import class_name
    from runbook.modules import catalogue

    if folders.MODULE.fullmatch(name) is None:
        mend = "use small letters, digits and single _, beginning with a letter"
        raise UserError(f"`{name}` can't be the name of a {noun}", mend=mend)
    if keyword.iskeyword(name):
        what = f"`{name}` can't be the name of a {noun}: it is a word of Python"
        raise UserError(what, mend=f"give it another name, such as {name}_{noun}")
    other: Noun = "probe" if noun == "step" else "step"
    for bundled in (noun, other):  # a step named like a probe would be read as the other by people
        if name in catalogue.bundled(bundled):
            mend = f"`runbook doc --{bundled} {name}` tells about it; give yours another name"
            raise UserError(f"there is a {bundled} `{name}` already, which comes with runbook", mend=mend)
    folder = Path(folders.NAME, f"{noun}s")
    for part in (folder.parent, folder):
        if not part.is_dir():
            part.mkdir(mode=0o755)
            part.chmod(part.stat().st_mode & ~0o022)  # whatever the umask says: else it would not be read
    file, cases = folder / f"{name}.py", folder / f"{name}.case.yaml"
    source, judged = (
        (_starters.STEP, _starters.STEP_CASES) if noun == "step" else (_starters.PROBE, _starters.PROBE_CASES)
    )
    _write(file, source.format(name=name, cls=class_name(name)), force=force)
    file.chmod(file.stat().st_mode & ~0o022)
    _write(cases, judged.format(name=name, file=file), force=force)
    click.echo(f"wrote {file} and {cases.name}; next: edit them, then `runbook test {file}` and `runbook lint {file}`")


def _write(file: Path, text: str, *, force: bool) -> None:
    try:
        with file.open("w" if force else "x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise UserError("there is such a file already", where=str(file), mend="--force writes over it") from None
    except FileNotFoundError:
        raise UserError("its directory is not there", where=str(file), mend=f"mkdir -p {file.parent}") from None


def _quoted(name: str) -> str:
    """Return a name as YAML text: `on`, `null` or `1.5` would be something else without quotes."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z_-]{3,}", name) and name.lower() not in {"true", "false", "null"}
    return name if plain else f'"{name}"'
