"""The `file` probe: a path, or what a pattern matches, as a whole."""

import grp
import os
import pwd
import stat
import time
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ClassVar,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Type,
)

from runbook.modules.declare import UNSEEN, Duration, Invalid, Path, Probe, Record, Size, Unclear
from runbook.modules.extent import Extent
from runbook.modules.formats.form import Format
from runbook.modules.frozen import frozen
from runbook.modules.globs import expand, wild
from runbook.modules.host import Host

if TYPE_CHECKING:
    from runbook.modules.listening.sources import Source

BUDGET = 10.0  # seconds for the walk below directories, and the same again for the content


@frozen
class Found(Record):
    """What lies at a path, or all that a pattern matches."""

    path: str  # the path or pattern
    exists: bool  # something is there
    size: Size  # bytes of all files, those below directories included
    age: Optional[Duration]  # since the last change, of a directory or pattern the latest of any file in it
    mode: Optional[str]  # permissions such as '0644'; null where nothing is there, or where matches differ
    owner: Optional[str]  # the owner's name, or number where it has none; null as above
    group: Optional[str]  # the group's name, or number; null as above
    count: int  # of a pattern the matches, of a directory the files below it, of a file 1
    newest_age: Optional[Duration]  # since the change of the youngest match or file below
    oldest_age: Optional[Duration]  # since the change of the oldest
    valid: Optional[bool]  # the content has the `format`, in every match; null without `format` or files
    reason: str  # why it is not valid, with the first file that is not


@frozen
class File(Probe):
    """A file, a directory or what a pattern matches, taken as a whole: existence, size, age, rights and content.

    Of a directory, `size`, `count` and the ages are those of all files below it; of a pattern such as
    `/train/checkpoint-*`, `count` is the number of matches, and each match is as old as its latest file. Links are
    followed at the path itself and not below it. Below directories it looks for ten seconds at most: what it could not
    count by then is unknown.

    Example:
        - name: checkpoints pile up
          file: /train/output/checkpoint-*
          when: count > 30 or newest_age > 24h
        - name: config broken
          file: {path: /train/config.json, format: json}
          when: not exists or not valid
    """

    record: ClassVar[Type[Record]] = Found
    subject: ClassVar[Optional[str]] = "path"
    needs = ("ruamel.yaml", "tomlkit")

    path: Tuple[Path, ...]  # paths, or patterns with `*`, `?`, `[a-z]` in a name or `**` for any depth; one record each
    format: Optional[Format] = None  # what its content should be; `checkpoint`: all that is below, by the files' names
    recursive: bool = True  # false: directories count as they stand, and their size is unknown

    def check(self) -> None:
        """Refuse a path that depends on where the agent happens to run."""
        for path in self.path:
            if not path.startswith(("/", "~/")):
                raise Invalid(f"`{path}` is not a whole path: begin it with /")
        if not self.path:
            raise Invalid("there is no path to look at")

    def needed(self) -> Tuple[str, ...]:
        """What reads YAML and TOML where the host's Python can't."""
        return {"yaml": self.needs[:1], "toml": self.needs[1:]}.get(self.format or "", ())

    def look(self, host: Host) -> Iterator[Record]:
        """Look at each path; all matches of a pattern make one record."""
        judged: Dict[str, Any] = {}
        for path in dict.fromkeys(self.path):
            yield self._found(path, host, judged)
        if judged:
            host.remember(judged=judged)

    def sources(self, host: Host, records: "Sequence[Record]") -> "Iterator[Source]":  # noqa: ARG002 -- as declared
        """Hear of what is written, made or removed there, and below directories that are looked into."""
        from runbook.modules.listening import sources

        for path in self.path:
            yield sources.path(path)
            if self.recursive or self.format == "checkpoint":
                yield sources.path(f"{path}/**")

    def _found(self, given: str, host: Host, judged: Dict[str, Any]) -> Found:
        path = os.path.expanduser(given)
        pattern = wild(path) and not os.path.lexists(path)
        matches = [(match, found) for match, found in _stats(expand(path) if pattern else [path])]
        if not matches:
            return _nothing(given)
        extent, times = self._extent(matches)
        whole_too = self.format == "checkpoint"
        files = [match for match, found in matches if whole_too or not stat.S_ISDIR(found.st_mode)]
        valid, reason = self._valid(files, host.remembered.get("judged", {}), judged)
        whole = extent.complete
        now = host.now()
        return Found(
            path=given,
            exists=True,
            size=extent.size if whole else UNSEEN,
            age=max(0.0, now - max(times)) if whole else UNSEEN,
            mode=_same(matches, lambda found: f"{stat.S_IMODE(found.st_mode):04o}"),
            owner=_same(matches, lambda found: _user(found.st_uid)),
            group=_same(matches, lambda found: _group(found.st_gid)),
            count=len(matches) if pattern else extent.files if whole else UNSEEN,
            newest_age=max(0.0, now - max(times)) if whole else UNSEEN,
            oldest_age=max(0.0, now - min(times)) if whole else UNSEEN,
            valid=valid,
            reason=reason,
        )

    def _extent(self, matches: "List[Tuple[str, os.stat_result]]") -> Tuple[Extent, List[float]]:
        """Sum the matches up; the times are those of the matches, or of the files where the match is one directory."""
        until = time.monotonic() + BUDGET
        whole, times = Extent(), []
        for match, found in matches:
            if not stat.S_ISDIR(found.st_mode):
                whole.add(found)
                times.append(found.st_mtime)
                continue
            if not self.recursive:
                whole.complete = False
                times.append(found.st_mtime)
                continue
            below = Extent(_linked=whole._linked)  # noqa: SLF001 -- a hard link counts once in all matches
            below.walk(match, until)
            whole.files += below.files
            whole.size += below.size
            whole.complete = whole.complete and below.complete
            times.append(found.st_mtime if below.newest is None else below.newest)
            if len(matches) == 1 and below.oldest is not None:
                times.append(below.oldest)
        return whole, times

    def _valid(self, files: List[str], known: Mapping[str, Any], kept: Dict[str, Any]) -> Tuple[Any, str]:
        if self.format is None or not files:
            return None, ""
        from runbook.modules.formats.validity import judge  # most looks ask only what lies there

        until = time.monotonic() + BUDGET
        valid, reason = True, ""
        for file in files:
            try:
                verdict, kept[file] = judge(file, self.format, until, known.get(file, {}))
            except OSError as error:
                raise Unclear(f"{error.filename or file} can't be read: {error.strerror or error}") from error
            if verdict.valid is False:
                valid, reason = False, f"{file}: {verdict.reason}"
                break
            if verdict.valid is None and valid is True:
                valid, reason = UNSEEN, f"{file}: {verdict.reason}"
        return valid, reason


def _nothing(path: str) -> Found:
    return Found(
        path=path,
        exists=False,
        size=0,
        age=None,
        mode=None,
        owner=None,
        group=None,
        count=0,
        newest_age=None,
        oldest_age=None,
        valid=None,
        reason="",
    )


def _stats(paths: List[str]) -> "Iterator[Tuple[str, os.stat_result]]":
    for path in paths:
        found = _stat(path)
        if found is not None:
            yield path, found


def _stat(path: str) -> Optional[os.stat_result]:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None  # it is not there, or it is a link to nothing
    except OSError as error:
        raise Unclear(f"{path} can't be looked at: {error.strerror}") from error


def _same(matches: "List[Tuple[str, os.stat_result]]", tell: Callable[[os.stat_result], str]) -> Optional[str]:
    told = {tell(found) for _, found in matches}
    return told.pop() if len(told) == 1 else None


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
