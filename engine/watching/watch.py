"""The driver that goes on: runbooks watched for months, by one thread, over one pool of connections.

It looks when a schedule says so, and when an agent says that something has happened.
"""

from __future__ import annotations

import contextlib
import signal
import time
from typing import TYPE_CHECKING, Any, Final

from runbook.engine.ears import Ears
from runbook.engine.errors import JournalUnusable, UserError
from runbook.engine.watching.audience import Audience, Hidden
from runbook.engine.watching.gathering import Gathering
from runbook.engine.watching.loaded import told
from runbook.engine.watching.post import Standing, Surroundings
from runbook.engine.watching.reloading import Files
from runbook.engine.watching.roster import Roster
from runbook.engine.watching.schedule import Schedule
from runbook.engine.watching.steady import Clock
from runbook.engine.watching.systemd import Notifier, watchdog_interval
from runbook.engine.watching.tallies import Telling
from runbook.modules.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runbook.engine.alerts.alerts import Alerts
    from runbook.engine.among import Among
    from runbook.engine.driver import Observer
    from runbook.engine.fleet.hosts import Hosts
    from runbook.engine.watching.loaded import Loaded
    from runbook.engine.watching.roster import Gauges

GLANCE: Final = 1.0  # seconds after which the files, the clock and systemd are seen to, at the latest
STATUS: Final = 10.0  # seconds between two lines for `systemctl status`
DAILY: Final = 86400.0
TIDY: Final = 600.0  # seconds after the start, when the journal is tidied for the first time
_WORST: Final = (2, 3, 0)  # exit codes, the first that applies
AGAIN: Final = 0.5  # seconds within which a second signal is the same wish


@frozen
class Options:
    """What the command line says of the watch itself. Times in seconds."""

    grace: float = 30.0
    longest: float | None = None  # until it ends by itself
    jitter: float | None = None
    shard: str = ""
    stop: str = ""  # the command that ends it
    telling: Telling = Telling()  # what is wanted of what looks count


class Watch:
    """Watches runbooks.

    Args:
        load: reads what the command line names, given what was read before, and the inventory; raises UserError where
            nothing of it can be used.
        options: of the command line.
        log: is told what happens.
        gather: reads the inventory anew, in a thread of its own: its programs may take long.
        observers: further ones, each made by a runbook's name.
        gauges: are told how it stands.
        alerts: opens the ear for alerts, given whom to call when some came.
        hidden: takes secrets out of texts, and learns them here.
        forget: forgets what is old in the journal, a slice at a time: returns whether there is more.
        clock: seconds since the epoch, never backwards.
    """

    def __init__(
        self,
        load: Callable[..., Loaded],
        options: Options,
        log: Observer,
        *,
        gather: Callable[[], Among],
        observers: Sequence[Callable[[str], Observer]] = (),
        gauges: Gauges | None = None,
        alerts: Callable[[Callable[[], None]], Alerts] | None = None,
        hidden: Hidden | None = None,
        forget: Callable[[], bool] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._load = load
        self._gather = gather
        self._options = options
        self._log = log
        self._observers = observers
        self._gauges = gauges
        self._open_alerts = alerts
        self._hidden = hidden or Hidden()
        self._forget = forget
        self._clock = clock or Clock()
        self._stopping = 0
        self._stopped = -AGAIN  # when that was said last
        self._reload = False
        self._gathering: Gathering | None = None
        self._wake: Callable[[], None] = lambda: None

    def go(self) -> int:
        """Watch until told to stop; return the exit code.

        Raises:
            UserError: there is nothing to watch.
            Fenced: another watch took over.
        """
        began = time.time()
        loaded = self._load()
        if loaded.problems:
            raise UserError("; ".join(loaded.problems.values()))
        notifier = Notifier()
        with contextlib.ExitStack() as stack:
            hosts = stack.enter_context(loaded.among.fleet())
            self._wake = hosts.wake
            stack.enter_context(self._signals())
            self._alerts = self._open_alerts(hosts.wake) if self._open_alerts is not None else None
            if self._alerts is not None:
                stack.callback(self._alerts.close)
            schedule = Schedule(hosts.wake, self._options.jitter)
            stack.callback(schedule.close)
            ears, options = Ears(hosts), self._options
            around = Surroundings(
                hosts,
                ears,
                self._audience,
                self._clock,
                options.shard,
                options.grace,
                options.stop,
                None if self._alerts is None else self._alerts.inbox,
                self._hidden.add,
                options.telling,
            )
            self._files = Files(loaded.files, began=began)
            self._roster = Roster(loaded, around, schedule, self._log, self._gauges)
            notifier.ready(self._status())
            stack.callback(self._give_up)
            code = self._run(hosts, ears, notifier)
            notifier.stopping("stopped")
        return code

    def stop(self) -> None:
        """Begin nothing new; a second time, and not at once: end now."""
        now = time.monotonic()
        if now - self._stopped >= AGAIN:
            self._stopping, self._stopped = self._stopping + 1, now
        self._wake()

    def _run(self, hosts: Hosts, ears: Ears, notifier: Notifier) -> int:
        began, watchdog = time.monotonic(), watchdog_interval()
        said = alive = seen = began
        tidy = began + TIDY
        left = 0
        while True:
            for number, answer in hosts.receive(min(GLANCE, self._roster.turn())):
                told = ears.heard(number, answer)
                if told is None:
                    self._roster.heard(number, answer)
                elif told[1] is None:
                    self._roster.deaf(told[0])
                else:
                    self._roster.stirred(told[0], told[1])
            self._roster.due()
            self._hear_alerts()
            self._take_in(hosts, notifier)
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
            if now >= tidy and not self._tidied():
                tidy = now + DAILY
            if self._options.longest is not None and now - began >= self._options.longest:
                self._stopping = max(1, self._stopping)
            if self._options.telling.until_done and not self._stopping and self._roster.finish():
                self._stopping = 1
            if self._stopping > left:
                left = self._stopping
                self._roster.leave(at_once=left > 1)
            if left and all(post.standing is Standing.STOPPED for post in self._roster.posts):
                codes = {post.exit_code() for post in self._roster.posts}
                return next((code for code in _WORST if code in codes), 0)

    def _tidied(self) -> bool:
        """Forget a slice of what is old; tell whether there is more."""
        try:
            return self._forget is not None and self._forget()
        except JournalUnusable as error:
            self._roster.say("tidying", f"what is old could not be forgotten: {error.line}", "warning")
            return False

    def _hear_alerts(self) -> None:
        """Take in alerts; their sender is answered when what they led to is durable."""
        for post in self._alerts.heard() if self._alerts is not None else ():
            if self._roster.alerted(post.message):
                post.taken()

    def _look_around(self, notifier: Notifier) -> None:
        """See whether files have changed, and whether time went on evenly."""
        jump = self._clock.jump()
        if jump is not None:
            self._jumped(jump.by, jump.slept)
        if self._stopping:
            return
        if self._gathering is None and (self._files.changed(time.monotonic()) or self._reload):
            asked, self._reload = self._reload, False
            notifier.reloading("reloading")
            self._gathering = Gathering(self._gather, self._wake, asked=asked)

    def _take_in(self, hosts: Hosts, notifier: Notifier) -> None:
        """Read the files anew, where the inventory has been."""
        gathering = self._gathering
        if gathering is None or not gathering.over:
            return
        self._gathering = None
        if not self._stopping:
            self._read_anew(hosts, gathering)
            notifier.ready(self._status())

    def _give_up(self) -> None:
        """Wait no longer for an inventory."""
        if self._gathering is not None:
            self._gathering.give_up()

    def _jumped(self, by: float, slept: float) -> None:
        """Tell that the clock was set, or that the machine slept, and make it good."""
        texts = []
        if slept:
            texts.append(f"the machine was suspended for {slept:.0f} s: everything is looked at now")
        if by > 0:
            texts.append(f"the clock was put forward by {by:.0f} s: nothing has held longer by that")
        elif by < 0:
            ahead = self._clock.ahead
            texts.append(f"the clock was put back by {-by:.0f} s: times here are ahead by {ahead:.0f} s for a while")
        for text in texts:
            self._roster.say("clock", text, "warning")
        self._roster.jumped(by)

    def _read_anew(self, hosts: Hosts, gathering: Gathering) -> None:
        """Read the files anew; what is wrong with one keeps what was there."""
        before = self._roster.loaded
        try:
            loaded = self._load(before, gathering.result())
        except Exception as error:  # noqa: BLE001 -- whatever is wrong with what somebody wrote, the watch goes on
            self._roster.refuse(told(error))
            return
        kept = before.files if loaded.problems else ()
        self._files = self._files.over([*loaded.files, *kept], gathering.began)
        if any(loaded.among.lacks(host.name) for path in loaded.problems for host in before.hosts(path)):
            self._roster.refuse("; ".join(loaded.problems.values()))
            return
        loaded.among.adopt(hosts, before.among)
        self._roster.renew(loaded, asked=gathering.asked)

    def _audience(self, runbook: str) -> Observer:
        return Audience([self._log, *(make(runbook) for make in self._observers)])

    def _status(self) -> str:
        """Return in a line how it goes."""
        posts = self._roster.posts
        hosts = {each.name for post in posts for each in post.request.hosts}
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
            self._wake()
        else:
            self.stop()


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
