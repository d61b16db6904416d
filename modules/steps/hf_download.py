"""The step `hf_download`."""

import os
import time
from functools import partial
from typing import Any, Callable, Dict, List, Literal, Optional, Tuple

from runbook.modules.acting import tree
from runbook.modules.acting.hands import counted, size
from runbook.modules.acting.trees import Trees
from runbook.modules.acting.writable import plain
from runbook.modules.actions import Action, Do
from runbook.modules.declare import Blameless, Duration, Impact, Invalid, NotYet, Path, Step, Unclear
from runbook.modules.frozen import frozen
from runbook.modules.host import Host
from runbook.modules.hub import download, listing, names, place
from runbook.modules.hub.download import Download, Wanted
from runbook.modules.hub.failures import Hindered
from runbook.modules.hub.ground import Ground
from runbook.modules.hub.library import Library
from runbook.modules.hub.listing import HubFile, Listing
from runbook.modules.hub.patience import Patience
from runbook.modules.hub.place import Cache, Folder, Place, Seen, State

_NAMED = 3  # missing files that are named


@frozen
class HfDownload(Step):
    """Download a repo of the Hugging Face hub, or what is missing or wrong of it, and check every file's hash.

    It goes into the library's cache, or with `dest` into a folder; both are laid out as huggingface_hub has them, so
    that it finds what is there and `hf cache verify` accepts it. A download that was cut off, also by a kill or by the
    library itself, goes on at the byte where it stood. Each file's size and hash (SHA-256, or git's of a small file)
    are compared with what the hub lists; that it was right is remembered with its size and time, and of a large file
    whose hash is wrong only what differs is written anew. A file in `dest` that is otherwise than the hub has it is
    replaced: leave out with `ignore_patterns` what you edit. A branch is only moved on when all files are there.

    Resets, stalls, 429 (as long as the hub asks) and 5xx are tried again within the step, until nothing has moved for
    `patience`; a refusal (401, 403, a gated repo, nothing of that name) ends it at once. An attempt that failed tells
    how many bytes it came forward (`progress`), and `retry` does not charge it. Bytes come through plain HTTP, also of
    what is kept in Xet. The hub, token, proxy and cache are those of huggingface_hub's environment on the host
    (HF_ENDPOINT, HF_TOKEN, HTTPS_PROXY, HF_HUB_CACHE, HF_HUB_OFFLINE, …), unless given here.

    With `register: model`, `model.path` is where the files are (in a cache the snapshot), `model.commit` their commit,
    and `found`, `fetched` (bytes), `speed` (bytes per second) and `retries` tell how it went.

    Example:
        - hf_download: {repo: deepseek-ai/deepseek-ocr, dest: /srv/models/deepseek-ocr}
        - hf_download: {repo: acme/private, revision: v2, ignore_patterns: ["*.gguf"], token: "{{ secrets.hf_token }}"}
    """

    impact = Impact.LOW
    timeout = 6 * 3600.0
    needs = ("huggingface_hub",)
    writes = ("dest", "cache")

    repo: str  # `owner/name` on the hub
    dest: Optional[Path] = None  # a folder for the files; without it they go into the library's cache
    cache: Optional[Path] = None  # where the cache is; default as huggingface_hub has it on the host
    revision: str = "main"  # a branch, a tag or a commit
    repo_type: Literal["model", "dataset", "space"] = "model"  # what the repo is
    allow_patterns: Optional[Tuple[str, ...]] = None  # only files that one of these fits, such as `*.safetensors`
    ignore_patterns: Optional[Tuple[str, ...]] = None  # no files that one of these fits
    token: Optional[str] = None  # from `secrets`; default the host's own HF_TOKEN or login, if it has one
    endpoint: Optional[str] = None  # the hub's address; default HF_ENDPOINT of the host, or the public one
    patience: Duration = 120.0  # how long it is tried again while not a byte of a file comes
    workers: int = 4  # files that are fetched at the same time
    recheck: bool = False  # read all files again, also those whose hash was right before

    def check(self) -> None:
        """One goal, and names that can be."""
        if self.dest is not None and self.cache is not None:
            raise Invalid("`dest` is a folder and `cache` a cache: give one of them")
        if not names.repo(self.repo):
            raise Invalid(f"`repo: {self.repo}` is no repo's id: write `owner/name`")
        if not names.revision(self.revision):
            raise Invalid(f"`revision: {self.revision}` is no branch, tag or commit")
        if not 1 <= self.workers <= 32:
            raise Invalid(f"`workers: {self.workers}` must be from 1 to 32")
        if self.endpoint is not None and not self.endpoint.startswith(("http://", "https://")):
            raise Invalid(f"`endpoint: {self.endpoint}` is no address: write `https://…`")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and self.token.strip()):
            raise Invalid("`token` is empty, or holds characters that no token has")

    def plan(self, host: Host) -> List[Action]:
        """Ask the hub what the repo holds, and look at what is there."""
        library = Library(self.endpoint, self.token)
        root = plain(self.dest or self.cache or os.path.realpath(library.cache))
        entry = tree.inside(root, host.writable)
        if not os.path.isdir(entry):
            raise NotYet(f"{entry} is writable and not there yet; make it first")
        with Trees(host.writable) as trees:
            ground = Ground(trees, root)
            found, offline = self._listing(library, ground, host)
            make = self._place(library, found.commit, host.now())
            goal = make(ground)
            seen = [(file, place.look(goal, file, trust=not self.recheck)) for file in found.files]
            introduced = goal.introduced(found)
        host.remember(path=goal.path, commit=found.commit, files=len(found.files), bytes=found.size)
        due = [(file, one) for file, one in seen if not (one.state is State.RIGHT and one.settled)]
        missing = [file for file, one in due if one.state is State.MISSING]
        if missing and offline:
            raise Blameless(f"{offline}, and {_named(missing)} of {self.repo} is not in {root}")
        if not due and introduced:
            return []
        here = sum(one.found for _, one in seen)
        needed = sum(file.size - one.found for file, one in due if one.state is State.MISSING)
        self._afford(host, root, needed)
        work = Download(
            library=library,
            listing=found,
            wanted=tuple(Wanted(file, one.found) for file, one in due),
            found=here,
            place=make,
            root=root,
            url=lambda file: library.url(self.repo, self.repo_type, found.commit, file.path),
            patience=self.patience,
            workers=self.workers,
            trust=not self.recheck,
        )
        return [Do(self._what(root, found, due, needed, here), work)]

    def report(self, host: Host) -> Dict[str, Any]:
        """Say where the files are, and which they are."""
        return {name: host.kept[name] for name in ("path", "commit", "files", "bytes") if name in host.kept}

    def _listing(self, library: Library, ground: Ground, host: Host) -> Tuple[Listing, str]:
        """Return what the repo holds; where the hub can't be asked, what it held the last time, and why that."""
        folder = "" if self.dest else library.folder(self.repo, self.repo_type)
        commit = place.kept_commit(ground, folder, self.revision)
        kept = place.kept_files(ground, folder, commit) if commit else None
        if commit and kept is not None and names.is_commit(self.revision):
            return self._chosen(commit, kept), ""  # what a commit holds never changes
        offline = "HF_HUB_OFFLINE is set on this host"
        if library.offline or host.env.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
            if commit is None or kept is None:
                raise Blameless(f"{offline}, and {self.repo}@{self.revision} was never fetched to {ground.path}")
            return self._chosen(commit, kept), offline
        patience = Patience(self.patience)
        while True:
            try:
                now = library.commit(self.repo, self.repo_type, self.revision)
                return self._chosen(now, library.files(self.repo, self.repo_type, now)), ""
            except Hindered as hindered:  # noqa: PERF203 -- it waits
                if commit and kept is not None and self._complete(library, ground, commit, kept):
                    return self._chosen(commit, kept), str(hindered)
                host.pause(patience.pause(hindered, f"{self.repo}@{self.revision}"))

    def _complete(self, library: Library, ground: Ground, commit: str, kept: Tuple[HubFile, ...]) -> bool:
        """Tell whether all is there as it was the last time."""
        goal = self._place(library, commit, time.time())(ground)
        return all(place.look(goal, file).state is State.RIGHT for file in self._chosen(commit, kept).files)

    def _chosen(self, commit: str, files: Tuple[HubFile, ...]) -> Listing:
        found = listing.chosen(commit, files, self.allow_patterns, self.ignore_patterns)
        if not found.files and files:
            raise Blameless(f"{self.repo}@{self.revision} holds {counted(len(files), 'file')}, and no pattern fits any")
        return found

    def _place(self, library: Library, commit: str, now: float) -> Callable[[Ground], Place]:
        if self.dest:
            return partial(Folder, commit=commit, revision=self.revision, now=now)
        folder = library.folder(self.repo, self.repo_type)
        made = partial(Cache, folder=folder, commit=commit, revision=self.revision)
        return partial(made, links=library.links, tag=library.tags)

    def _afford(self, host: Host, root: str, needed: int) -> None:
        there = root
        while not os.path.isdir(there):
            there = os.path.dirname(there)
        try:
            download.check_room(there, needed, host.free_space(there))
        except Unclear as error:
            raise Blameless(str(error)) from error

    def _what(self, root: str, found: Listing, due: "List[Tuple[HubFile, Seen]]", needed: int, here: int) -> str:
        """Say what is to be done."""
        missing = [file for file, one in due if one.state is State.MISSING]
        whole = [file for file, one in due if one.state is State.WHOLE]
        repo = f"{self.repo}@{self.revision}"
        said = []
        if missing:
            files = counted(len(missing), "file")
            many = files if len(missing) == len(found.files) else f"{files} of {len(found.files):,}"
            resuming = f": found {size(here)} of {size(found.size)}, resuming" if here else ""
            said.append(f"download {size(needed)} of {repo} ({many}) to {root}{resuming}")
        if whole:
            many = f"{counted(len(whole), 'file')} ({size(sum(file.size for file in whole))})"
            said.append(f"check the hashes of {many}" + ("" if missing else f" of {repo} in {root}"))
        return "; ".join(said) or f"put {repo} in its place in {root}"


def _named(files: List[HubFile]) -> str:
    shown = ", ".join(file.path for file in files[:_NAMED])
    return shown + (f" and {len(files) - _NAMED} more" if len(files) > _NAMED else "")
