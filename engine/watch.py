"""The driver that goes on: runbooks watched for months, by one thread, over one pool of connections.

It looks when a schedule says so, and when an agent says that something has happened. What hangs or fails is one
runbook's own: the others go on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.ears import Ears
from runbook.engine.errors import Fenced, UserError
from runbook.engine.journal.facts import Fact
from runbook.engine.post import Post, Standing, Surroundings
from runbook.engine.reloading import Files
from runbook.engine.schedule import Schedule
from runbook.engine.steady import Clock
from runbook.engine.systemd import Notifier, watchdog_interval
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from runbook.engine.among import Among
    from runbook.engine.driver import Observer
    from runbook.engine.fleet.hosts import Hosts
    from runbook.engine.start import Request

GLANCE: Final = 1.0  # seconds after which the files, the clock and systemd are seen to, at the latest
LATE: Final = 1.0  # rounds by which one may begin late before that is told
REST: Final = (1.0, 5.0, 30.0, 60.0)  # seconds before a runbook that a bug of ours broke is taken up again
STATUS: Final = 10.0  # seconds between two lines for `systemctl status`
DAILY: Final = 86400.0


@dataclass
class Loaded:
    """What the command line names, read anew."""

    among: Among
    requests: dict[str, Request] = field(default_factory=dict)  # by path: those that may run
    problems: dict[str, str] = field(default_factory=dict)  # by path: what is wrong with the others
    digests: dict[str, str] = field(default_factory=dict)  # by path: another where anything about it is another
    files: Sequence[str] = ()  # what all this was read from


@frozen
class Options:
    """What the command line says of the watch itself. Times in seconds."""

    grace: float = 30.0
    longest: float | None = None  # until it ends by itself
    jitter: float | None = None
    shard: str = ""
    retain: float | None = None
    stop: str = ""  # the command that ends it


class Watch:
    """Watches runbooks.

    Args:
        load: reads what the command line names; raises UserError where nothing of it can be used.
        options: of the command line.
        log: is told what happens.
        observers: further ones, each made by a runbook's name: metrics.
        forget: forgets what is old in the journal, a slice at a time: returns whether there is more.
        clock: seconds since the epoch, never backwards.
    """

    def __init__(
        self,
        load: Callable[[], Loaded],
        options: Options,
        log: Observer,
        *,
        observers: Sequence[Callable[[str], Observer]] = (),
        forget: Callable[[], bool] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._load = load
        self._options = options
        self._log = log
        self._observers = observers
        self._forget = forget
        self._clock = clock or Clock()
        self._posts: dict[str, Post] = {}  # by path
        self._rest: dict[str, tuple[int, float]] = {}  # by path: how often a bug broke it, and until when it rests
        self._degraded: list[str] = []
        self._stopping = 0
        self._reload = False
        self._hosts: Hosts | None = None

    def go(self) -> int:
        """Watch until told to stop; return the exit code.

        Raises:
            UserError: there is nothing to watch.
            Fenced: another watch took over.
        """
        self._loaded = self._load()
        if self._loaded.problems:
            raise UserError("; ".join(self._loaded.problems.values()))
        notifier = Notifier()
        with self._loaded.among.fleet() as hosts, self._signals(), contextlib.ExitStack() as stack:
            self._hosts = hosts
            self._schedule = Schedule(hosts.wake, self._options.jitter)
            stack.callback(self._schedule.close)
            self._ears = Ears(hosts)
            self._files = Files(self._loaded.files)
            for path in self._loaded.requests:
                self._man(path, operating=True)
            notifier.ready(self._status())
            code = self._run(hosts, notifier)
            notifier.stopping("stopped")
        return code

    def stop(self) -> None:
        """Begin nothing new; a second time: end at once."""
        self._stopping += 1
        if self._hosts is not None:
            self._hosts.wake()

    def _run(self, hosts: Hosts, notifier: Notifier) -> int:
        began, watchdog = time.monotonic(), watchdog_interval()
        said = alive = seen = tidied = began
        left = 0
        while True:
            pause = min([GLANCE, *(self._turn(path) for path in list(self._posts))])
            for number, answer in hosts.receive(pause):
                self._dispatch(number, answer)
            self._due()
            now = time.monotonic()
            if watchdog is not None and now - alive >= watchdog:
                alive = now
                notifier.watchdog()
            if now - seen >= GLANCE:
                seen = now
                self._look_around(notifier)
            if now - said >= STATUS:
                said = now
                notifier.status(self._status())
            if self._forget is not None and now - tidied >= DAILY and not self._forget():
                tidied = now
            if self._options.longest is not None and now - began >= self._options.longest:
                self._stopping = max(1, self._stopping)
            if self._stopping > left:
                left = self._stopping
                code = self._leave(left)
            if left and all(post.standing is Standing.STOPPED for post in self._posts.values()):
                return code

    def _leave(self, times: int) -> int:
        """Tell every post to leave; return the exit code that what is open then comes to."""
        code = 0 if all(post.healthy for post in self._posts.values()) else 2
        for post in self._posts.values():
            if times > 1:
                post.drop()
            else:
                post.leave()
        return code

    def _turn(self, path: str) -> float:
        """Let a post do what there is to do; a bug of ours there is told, and it begins anew."""
        post = self._posts[path]
        number, until = self._rest.get(path, (0, 0.0))
        now = time.monotonic()
        if until > now:
            return until - now
        try:
            return post.turn()
        except Fenced:
            for other in self._posts.values():
                other.fenced() if other is post else other.drop()
            raise
        except Exception as error:  # noqa: BLE001 -- one runbook's trouble must not end the watch of others
            rest = REST[min(number, len(REST) - 1)]
            self._rest[path] = number + 1, now + rest
            where = traceback.extract_tb(error.__traceback__)[-1]
            what = error.what if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            place = "" if isinstance(error, UserError) else f" ({os.path.basename(where.filename)}:{where.lineno})"  # noqa: PTH119
            self._say("broken", f"`{post.name}`: {what}{place}; it is taken up again in {rest:g} s", "error", post)
            with contextlib.suppress(Exception):
                post.fenced()
            self._posts[path] = Post(self._loaded.requests[path], self._around(), operating=False)
            return rest

    def _dispatch(self, number: int, answer: Any) -> None:
        told = self._ears.heard(number, answer)
        if told is not None:
            host, stirred = told
            for post in self._posts.values():
                names = [detector for run, detector in stirred if run == post.run]
                if names:
                    post.stir(host, names)
            return
        for path, post in list(self._posts.items()):
            try:
                if post.heard(number, answer):
                    return
            except Fenced:
                post.fenced()
                raise
            except Exception as error:  # noqa: BLE001 -- as in a turn
                self._say("broken", f"`{post.name}`: {type(error).__name__}: {error}", "error", post)
                post.fenced()
                self._posts[path] = Post(self._loaded.requests[path], self._around(), operating=False)
                return

    def _due(self) -> None:
        """Look at what it is time for."""
        for (path, every), at in self._schedule.due():
            post = self._posts.get(path)
            if post is not None:
                post.next = self._schedule.next((path, every))
                post.round(_scheduled(post.request).get(every), max(0.0, time.time() - at))
        for (path, every), at in self._schedule.missed():
            post = self._posts.get(path)
            if post is not None:
                moment = time.strftime("%H:%M:%S", time.localtime(at))
                post.say("missed", f"the look of {moment} at `{post.name}` was missed: nothing ran then", "warning")
                post.round(_scheduled(post.request).get(every), time.time() - at)

    def _look_around(self, notifier: Notifier) -> None:
        """See whether files have changed, and whether time went on evenly."""
        jump = self._clock.jump()
        if jump is not None:
            self._jumped(jump.by, jump.slept)
        if self._stopping:
            return
        if self._files.changed(time.monotonic()) or self._reload:
            asked, self._reload = self._reload, False
            notifier.reloading("reloading")
            self._read_anew(asked=asked)
            notifier.ready(self._status())

    def _jumped(self, by: float, slept: float) -> None:
        """Tell that the clock was set, or that the machine slept, and make it good."""
        if slept:
            self._say("slept", f"the machine was suspended for {slept:.0f} s: everything is looked at now", "warning")
        if by > 0:
            self._say("clock", f"the clock was put forward by {by:.0f} s: nothing has held longer by that", "warning")
        elif by < 0:
            ahead = self._clock.ahead
            text = (
                f"the clock was put back by {-by:.0f} s: times here are ahead by {ahead:.0f} s for a while"
            )
            self._say("clock", text, "warning")
        for post in self._posts.values():
            if by > 0:
                post.jumped(by)
            post.round()

    def _read_anew(self, *, asked: bool) -> None:
        """Read the files anew; what is wrong with one keeps what was there."""
        try:
            loaded = self._load()
        except (UserError, OSError) as error:
            text = str(error).replace("\n", ": ")
            self._say("refused", f"what changed can't be used, and what was there is kept: {text}", "error")
            self._files = Files(self._loaded.files)
            return
        before, self._loaded = self._loaded, loaded
        self._files = Files([*loaded.files, *before.files] if loaded.problems else loaded.files)
        assert self._hosts is not None
        loaded.among.adopt(self._hosts, before.among)
        for path, problem in loaded.problems.items():
            self._say("refused", f"{problem}: the runbook that was there is kept", "error", self._posts.get(path))
            if path in before.requests:
                loaded.requests[path] = before.requests[path]
                loaded.digests[path] = before.digests[path]
        changed = [path for path in loaded.requests if loaded.digests[path] != before.digests.get(path)]
        for path in [each for each in self._posts if each not in loaded.requests]:
            self._say("removed", f"`{self._posts[path].name}` is watched no more: its file is gone", "warning")
            self._dismiss(path)
        for path in changed:
            known = path in self._posts
            if known:
                self._dismiss(path)
            self._man(path, operating=not known)
            post = self._posts[path]
            said = "was read anew" if known else "is watched from now on"
            self._say("reloaded", f"`{post.name}` {said} ({post.request.runbook.file})", "info", post)
        if asked and not changed and not loaded.problems:
            self._say("reloaded", "nothing has changed", "info")

    def _man(self, path: str, *, operating: bool) -> None:
        """Begin to watch a runbook."""
        post = self._posts[path] = Post(self._loaded.requests[path], self._around(), operating=operating)
        for every in _scheduled(post.request):
            self._schedule.put((path, every))
        post.next = min(
            (at for every in _scheduled(post.request) if (at := self._schedule.next((path, every))) is not None),
            default=None,
        )
        self._turn(path)

    def _dismiss(self, path: str) -> None:
        """Watch a runbook no more, as it was."""
        post = self._posts.pop(path)
        for every in _scheduled(post.request):
            self._schedule.drop((path, every))
        self._rest.pop(path, None)
        post.drop()

    def _around(self) -> Surroundings:
        assert self._hosts is not None
        return Surroundings(
            self._hosts,
            self._ears,
            self._audience,
            self._clock,
            self._options.shard,
            self._options.grace,
            self._options.stop,
            self._degraded,
        )

    def _audience(self, runbook: str) -> Observer:
        return Audience([self._log, *(make(runbook) for make in self._observers)])

    def _say(self, what: str, message: str, level: str, post: Post | None = None) -> None:
        """Tell what the watch came upon: in the journal of one runbook, or of the first that can be written."""
        about = post or next((each for each in self._posts.values() if each.standing is Standing.ACTIVE), None)
        if about is not None:
            about.say(what, message, level)
        else:
            self._log.fact(Fact(f"watch.{what}", self._clock(), "", data={"message": message, "level": level}))

    def _status(self) -> str:
        """Return in a line how it goes."""
        posts = list(self._posts.values())
        hosts = {host for post in posts for host in (each.name for each in post.request.hosts)}
        parts = [_number(len(posts), "runbook"), _number(len(hosts) or 1, "host")]
        words = {Standing.STANDBY: "standing by", Standing.OBSERVING: "only observed"}
        counts = {word: sum(post.standing is standing for post in posts) for standing, word in words.items()}
        parts += [f"{count} {word}" for word, count in counts.items() if count]
        if opened := sum(post.open for post in posts):
            parts.append(f"{opened} open")
        return ", ".join(parts)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Let TERM and INT end it in good order, and HUP read the files anew."""
        before: dict[int, Any] = {}
        for wanted in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            before[wanted] = signal.signal(wanted, self._signalled)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _signalled(self, number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            self._reload = True
            if self._hosts is not None:
                self._hosts.wake()
        else:
            self.stop()


class Audience:
    """Tells several observers of what happens."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._all = tuple(observers)

    def fact(self, fact: Fact) -> None:
        """Tell them."""
        for each in self._all:
            each.fact(fact)

    def progress(self, host: str, title: str, text: str, share: float | None = None) -> None:
        """Tell them how far a long step is."""
        for each in self._all:
            each.progress(host, title, text, share)


def _scheduled(request: Request) -> Mapping[float | str, tuple[str, ...] | None]:
    """Return by schedule the detectors that are looked at then."""
    runbook = request.runbook
    found: dict[float | str, list[str]] = {runbook.every: []}
    for detector in runbook.detectors:
        found.setdefault(runbook.every if detector.every is None else detector.every, []).append(detector.name)
    return {every: tuple(names) for every, names in found.items() if names}


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
