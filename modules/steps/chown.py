"""The step `chown`."""

import functools
import grp
import os
import pwd
import re
import stat
from typing import Any, Dict, Iterator, List, Optional, Tuple

from runbook.modules.acting import survey, tree
from runbook.modules.acting.alike import Alike, Crowd
from runbook.modules.acting.walking import Folder
from runbook.modules.actions import Action, Own
from runbook.modules.declare import Failed, Impact, Invalid, Path, Refused, Step
from runbook.modules.frozen import frozen
from runbook.modules.host import Host

Change = Tuple[Optional[int], Optional[int], Optional[int]]  # uid, gid and mode; None where it is right


@frozen
class Chown(Step):
    """Give files and directories the right owner, group and mode; what is right already is not touched.

    `mode` is octal and in quotes. Directories get the right to enter (x) wherever the mode gives the right to read, so
    that "0640" makes them 0750, and they keep their setgid and sticky bits; files lose theirs. Setting such bits
    is refused. With `recursive`, links are left as they are and not followed, and what is mounted below is left out.

    Example:
        - chown: {path: /srv/models/cache, owner: vllm, group: vllm, mode: "0640", recursive: true}
    """

    impact = Impact.DISRUPTIVE
    timeout = 1800.0
    writes = ("path",)

    path: Path  # the file or directory
    owner: Optional[str] = None  # the user, by name or number
    group: Optional[str] = None  # the group, by name or number
    mode: Optional[str] = None  # permissions such as "0644"
    recursive: bool = False  # and all that lies below

    def check(self) -> None:
        """Something to change, and a mode that gives nobody another's rights."""
        if self.owner is None and self.group is None and self.mode is None:
            raise Invalid("nothing to do: write at least one of owner, group and mode")
        if self.mode is None:
            return
        if re.fullmatch(r"0?[1-7][0-7]{3}", self.mode):
            raise Invalid(f"`mode: {self.mode}` sets setuid, setgid or sticky bits: write the last three digits alone")
        if not re.fullmatch(r"0?[0-7]{3}", self.mode):
            raise Invalid(f'`mode: {self.mode}` is not octal: write it in quotes, as "0644"')

    def plan(self, host: Host) -> List[Action]:
        """Own what is wrong; one action for each thing that is wrong in the same way."""
        tree.inside(self.path, host.writable)
        uid, gid = _uid(self.owner), _gid(self.group)
        mode = None if self.mode is None else int(self.mode, 8)
        judge = functools.partial(_judged, self.path, uid, gid, mode)
        parts = survey.judged(self.path, judge) if self.recursive else [judge(iter([self._itself()]))]
        wrong: Dict[Tuple[Change, bool], List[Alike]] = {}
        for _, groups in parts:
            for key, alike in groups:
                wrong.setdefault(key, []).extend(map(Alike._make, alike))
        number = sum(seen for seen, _ in parts)
        if not number:
            raise Failed(f"{self.path} is not there")
        host.remember(changed=sum(len(each.names) for alike in wrong.values() for each in alike), seen=number)
        files_first = sorted(wrong.items(), key=lambda group: group[0][1])  # a directory may shut us out
        return [_own(self.path, change, directory, alike) for (change, directory), alike in files_first]

    def report(self, host: Host) -> Dict[str, Any]:
        """Say how many were wrong, of how many that were seen."""
        return {"wrong": host.kept.get("changed", 0), "seen": host.kept.get("seen", 0)}

    def _itself(self) -> Folder:
        try:
            seen = os.lstat(self.path)
            directory = stat.S_ISDIR(seen.st_mode)
            return Folder("", seen if directory else None, [] if directory else [("", seen)], [])
        except OSError as error:
            missing = "is not there" if isinstance(error, FileNotFoundError) else f"can't be seen: {error.strerror}"
            raise Failed(f"{self.path} {missing}") from error


def _judged(
    root: str, uid: Optional[int], gid: Optional[int], mode: Optional[int], found: Iterator[Folder]
) -> Tuple[int, List[Tuple[Tuple[Change, bool], List[Tuple[Any, ...]]]]]:
    """Return how many things there are, and those that are wrong, by what is to be changed of them."""
    wrong: Dict[Tuple[Change, bool], List[Tuple[Any, ...]]] = {}
    changes: Dict[Tuple[int, int, int], Optional[Change]] = {}  # judged once, since there may be many
    number = 0
    for path, own, things, mounts in found:
        before = (0, 0) if own is None else (own.st_ino, own.st_ctime_ns)
        alike: Dict[Tuple[int, int, int], Optional[Alike]] = {}
        listed = things if own is None else [*things, ("", own)]
        for name, seen in listed:
            terms = seen.st_uid, seen.st_gid, seen.st_mode
            if terms not in alike:
                if terms not in changes:
                    changes[terms] = _wrong(seen, uid, gid, mode)
                change = changes[terms]
                alike[terms] = fresh = None if change is None else Alike(path, seen.st_dev, *terms, [], [], before)
                if change is not None and fresh is not None:
                    wrong.setdefault((change, stat.S_ISDIR(seen.st_mode)), []).append(fresh)
            group = alike[terms]
            if group is None:
                continue
            if seen.st_nlink > 1 and not stat.S_ISDIR(seen.st_mode):
                place = os.path.join(root, path, name).rstrip("/")
                raise Refused(f"{place} has {seen.st_nlink} hard links: its other names may lie outside")
            group.names.append(name)
            group.inodes.append(seen.st_ino)
        number += len(listed) + len(mounts)
    return number, [(key, [tuple(each) for each in groups]) for key, groups in wrong.items()]


def _wrong(seen: os.stat_result, uid: Optional[int], gid: Optional[int], mode: Optional[int]) -> Optional[Change]:
    """Return what is to be changed of one file or directory, if anything."""
    now = seen.st_mode
    if mode is not None and stat.S_ISDIR(now):
        mode |= (mode & 0o444) >> 2 | now & (stat.S_ISGID | stat.S_ISVTX)
    if (
        (uid is None or uid == seen.st_uid)
        and (gid is None or gid == seen.st_gid)
        and (mode is None or mode == now & 0o7777)
    ) or not (stat.S_ISREG(now) or stat.S_ISDIR(now)):
        return None
    return (
        uid if seen.st_uid != uid else None,
        gid if seen.st_gid != gid else None,
        mode if now & 0o7777 != mode else None,
    )


def _own(root: str, change: Change, directory: bool, alike: List[Alike]) -> Own:
    uid, gid, mode = change
    modes = {"directory_mode": mode} if directory else {"file_mode": mode}
    return Own(root, Crowd(tuple(alike)), uid=uid, gid=gid, **modes)


def _uid(name: Optional[str]) -> Optional[int]:
    if name is None or name.isdecimal():
        return None if name is None else int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise Failed(f"there is no user {name} on this host") from None


def _gid(name: Optional[str]) -> Optional[int]:
    if name is None or name.isdecimal():
        return None if name is None else int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise Failed(f"there is no group {name} on this host") from None
