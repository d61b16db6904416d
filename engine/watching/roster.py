"""The posts of a watch: one for each runbook, with its schedule. What hangs or fails at one is its own."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from runbook.engine.errors import Fenced
from runbook.engine.journal.facts import Fact
from runbook.engine.watching.loaded import scheduled, told
from runbook.engine.watching.post import Post, Standing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbook.engine.alerts.payload import Message
    from runbook.engine.driver import Observer
    from runbook.engine.recover.state import State
    from runbook.engine.watching.loaded import Loaded
    from runbook.engine.watching.post import Surroundings
    from runbook.engine.watching.schedule import Schedule

REST: Final = (1.0, 5.0, 30.0, 60.0)  # seconds before a runbook that a bug of ours broke is taken up again
SOUND: Final = 600.0  # seconds after which the last bug is forgotten


class Gauges(Protocol):
    """Who is told how it stands: metrics."""

    def saw(self, runbook: str, state: State) -> None:
        """Take in what is known of a runbook's hosts."""

    def tick(self, runbook: str, host: str, seconds: float, lag: float) -> None:
        """Take in that a host was looked at."""

    def standing(self, runbook: str, state: str, epoch: int) -> None:
        """Take in whether a runbook is watched."""

    def forget(self, runbook: str) -> None:
        """Take in that a runbook is watched no more."""


class Roster:
    """The runbooks that are watched, by their paths.

    Args:
        loaded: what they are.
        around: what their posts share.
        schedule: says when to look.
        log: is told what concerns no single one.
        gauges: are told how they stand.
    """

    def __init__(
        self, loaded: Loaded, around: Surroundings, schedule: Schedule, log: Observer, gauges: Gauges | None = None
    ) -> None:
        self.loaded = loaded
        self._around = around
        self._schedule = schedule
        self._log = log
        self._gauges = gauges
        self._posts: dict[str, Post] = {}
        self._modules = loaded.modules  # as this process has them
        self._rest: dict[str, tuple[int, float]] = {}  # how often a bug broke it, and until when it rests
        for path in loaded.requests:
            self._man(path)
        self._warn()

    @property
    def posts(self) -> Sequence[Post]:
        """All of them."""
        return tuple(self._posts.values())

    def turn(self) -> float:
        """Let each do what there is to do; return in how many seconds there is more.

        Raises:
            Fenced: another watch has taken one over; none of them may go on.
        """
        pauses = []
        for path, post in list(self._posts.items()):
            resting = self._rest.get(path, (0, 0.0))[1] - time.monotonic()
            if resting > 0:
                pauses.append(resting)
                continue
            with self._contained(path):
                pauses.append(post.turn())
            self._measure(post)
        return min(pauses, default=60.0)

    def heard(self, number: int, answer: Any) -> None:
        """Take in what a host answered."""
        for path, post in list(self._posts.items()):
            with self._contained(path):
                if post.heard(number, answer):
                    return

    def stirred(self, host: str, what: Sequence[tuple[str, str]]) -> None:
        """Look at what has happened on a host: by runbook, detectors."""
        for post in self._posts.values():
            names = [detector for runbook, detector in what if runbook == post.name]
            if names:
                post.stir(host, names)

    def deaf(self, host: str) -> None:
        """Take in that a host's agent says no more when something happens."""
        for post in self._posts.values():
            post.deaf(host)

    def alerted(self, message: Message) -> bool:
        """Take in alerts; tell whether what they led to is durable."""
        durable = True
        for path, post in list(self._posts.items()):
            taken = False
            with self._contained(path):
                taken = post.alerted(message)
            durable = taken and durable
        return durable

    def due(self) -> None:
        """Look at what it is time for."""
        for key, at in self._schedule.due():
            self._round(*key, at)
        for (path, _), since, until in self._schedule.missed():
            post = self._posts.get(path)
            if post is not None:
                span = " to ".join(time.strftime("%H:%M:%S", time.localtime(at)) for at in (since, until))
                what = f"looks at `{post.name}` were missed from {span}: nothing ran then, or the clock was set"
                post.say("missed", what, "warning")

    def jumped(self, by: float) -> None:
        """Take in that the clock was set, and look at everything now."""
        self._schedule.anew()
        for path, post in list(self._posts.items()):
            with self._contained(path):
                if by > 0:
                    post.jumped(by)
                post.round()

    def refuse(self, problem: str) -> None:
        """Take in that nothing of what changed can be used."""
        for post in self._posts.values():
            post.refused = problem
        self.say("refused", f"what changed can't be used, and what was there is kept: {problem}", "error")

    def finish(self) -> bool:
        """Say how it ended, where all that looks count is over everywhere; tell whether it is."""
        told = [post.done for post in self._posts.values()]
        if True not in told or False in told:
            return False
        for post in self._posts.values():
            post.finish()
        return True

    def leave(self, *, at_once: bool) -> None:
        """Begin nothing new anywhere."""
        for post in self._posts.values():
            if at_once:
                post.drop()
            else:
                post.leave()

    def renew(self, loaded: Loaded, *, asked: bool) -> None:
        """Take in what was read anew; where that is wrong, what was there is kept.

        Args:
            loaded: all of it.
            asked: somebody wants to hear of it even where nothing changed.
        """
        before, self.loaded = self.loaded, loaded
        for path, problem in loaded.problems.items():
            known = self._posts.get(path)
            if known is None:
                self._only_log("refused", problem, "error")
                continue
            known.refused = problem
            self.say("refused", f"{problem}; the runbook that was there is kept", "error", known)
            if path in before.requests:
                loaded.requests[path] = before.requests[path]
                loaded.digests[path] = before.digests[path]
        changed = [path for path in loaded.requests if loaded.digests[path] != before.digests.get(path)]
        for path, post in self._posts.items():
            if post.refused and path not in loaded.problems:
                post.refused = ""
                if path not in changed:
                    self.say("reloaded", f"`{post.name}` is as it was before: nothing is wrong with it", "info", post)
        for path in [each for each in self._posts if each not in loaded.requests]:
            self.say("removed", f"`{self._posts[path].name}` is watched no more: its file is gone", "warning")
            self._dismiss(path)
        for path in changed:
            dismissed = self._dismiss(path, returns=True) if path in self._posts else None
            self._man(path, dismissed)
            post = self._posts[path]
            said = "was read anew" if dismissed else "is watched from now on"
            level = "debug" if dismissed else "info"  # the log tells of the run that begins
            self.say("reloaded", f"`{post.name}` {said} ({post.request.runbook.file})", level, post)
        if changed:
            self._warn()
        other = self._tell_modules(before, asked=asked)
        if asked and not changed and not loaded.problems and not other:
            self.say("reloaded", "everything was read anew: nothing has changed", "info")

    def _tell_modules(self, before: Loaded, *, asked: bool) -> bool:
        """Say that modules are others than those that this process has; tell whether they are."""
        now = self.loaded.modules
        other = sorted(path for path in {*now, *self._modules} if now.get(path) != self._modules.get(path))
        if other and (asked or now != before.modules):
            named = ", ".join(other[:3]) + (f" and {len(other) - 3} more" if len(other) > 3 else "")
            what = f"modules are read when a watch starts, and these have changed since: {named}: restart it"
            self.say("warned", what, "warning")
        return bool(other)

    def say(self, what: str, message: str, level: str, post: Post | None = None) -> None:
        """Tell what the watch came upon: in the journal of one runbook, or of the first that can be written."""
        about = post or next((each for each in self._posts.values() if each.standing is Standing.ACTIVE), None)
        if about is not None:
            about.say(what, message, level, whole=post is None)
        else:
            self._only_log(what, message, level)

    def _only_log(self, what: str, message: str, level: str) -> None:
        self._log.fact(Fact(f"watch.{what}", self._around.clock(), "", data={"message": message, "level": level}))

    def _warn(self) -> None:
        for text in self.loaded.warnings:
            self.say("warned", text, "warning")

    def _man(self, path: str, before: Post | None = None) -> None:
        """Begin to watch a runbook; one that was watched before, as it was, has had its operations."""
        post = self._posts[path] = self._post(path, before)
        with self._contained(path):
            for every in scheduled(post.request):
                self._schedule.put((path, every))
            self._foresee(path, post)
            post.turn()

    def _post(self, path: str, before: Post | None) -> Post:
        request = self.loaded.requests[path]
        if before is None:
            return Post(request, self._around)
        return Post(request, self._around, operating=False, operated=before.operated, held=before.take_held())

    def _dismiss(self, path: str, *, returns: bool = False) -> Post:
        """Watch a runbook no more, as it was; one that returns stays claimed."""
        post = self._posts.pop(path)
        for every in scheduled(post.request):
            self._schedule.drop((path, every))
        self._rest.pop(path, None)
        if returns:
            post.hand_over()
        else:
            post.drop()
        if self._gauges is not None:
            self._gauges.forget(post.name)
        return post

    def _round(self, path: str, every: float | str, at: float) -> None:
        post = self._posts.get(path)
        if post is None:
            return
        with self._contained(path):
            self._foresee(path, post)
            lag = max(0.0, time.time() - at)
            post.round(scheduled(post.request).get(every), lag)

    def _foresee(self, path: str, post: Post) -> None:
        times = [self._schedule.next((path, every)) for every in scheduled(post.request)]
        post.next = min((at for at in times if at is not None), default=None)

    def _measure(self, post: Post) -> None:
        took = list(post.sitting.took()) if post.sitting is not None else []
        if self._gauges is None:
            return
        self._gauges.standing(post.name, post.standing.value, post.epoch)
        if post.sitting is not None:
            self._gauges.saw(post.name, post.sitting.state)
        for host, seconds in took:
            self._gauges.tick(post.name, host, seconds, post.lag)

    @contextlib.contextmanager
    def _contained(self, path: str) -> Iterator[None]:
        """Let a bug of ours at one post end nothing but that: it is told, and the post is manned anew."""
        post = self._posts[path]
        try:
            yield
        except Fenced:
            for other in self._posts.values():
                if other is post:
                    other.fenced()
                else:
                    other.drop()
            raise
        except Exception as error:  # noqa: BLE001 -- whatever it is
            number, since = self._rest.get(path, (0, 0.0))
            number = 0 if time.monotonic() - since > SOUND else number
            rest = REST[min(number, len(REST) - 1)]
            self._rest[path] = number + 1, time.monotonic() + rest
            self.say("broken", f"`{post.name}`: {told(error)}; it is taken up again in {rest:g} s", "error", post)
            with contextlib.suppress(Exception):
                post.fenced()
            self._posts[path] = self._post(path, post)
