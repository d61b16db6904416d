"""What a watch counts and measures, for Prometheus (the extra `metrics`).

Labels are words of the runbooks and of closed sets. What hosts say, their subjects and their texts, is none, and hosts
themselves are only counted: no host can make up series.
"""

from __future__ import annotations

import contextlib
import http.server
import platform
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import runbook
from runbook.engine import listening
from runbook.engine.errors import UserError
from runbook.engine.report import gauges

try:
    import prometheus_client as prometheus
    from prometheus_client.exposition import choose_encoder
except ImportError as missing:
    raise UserError("prometheus_client is not installed", where="--metrics",
                    mend="pip install 'runbook[metrics]'") from missing  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client import Metric

    from runbook.engine.driver import Observer
    from runbook.engine.journal.facts import Fact
    from runbook.engine.recover.state import State

OPTION: Final = "--metrics"
SPANS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)  # 10 ms to 1 h
_LATEST: Final = 86400.0  # seconds; a host's clock that is off by more tells no time to detect
_MOST: Final = 2000  # values of a label; a runbook has fewer, and what is more is `other`


class Metrics:
    """Everything that is measured, in a registry of its own.

    Example:
        >>> metrics = Metrics()
        >>> close = serve("127.0.0.1:0", metrics)
        >>> close()
    """

    def __init__(self) -> None:
        prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series, and tell only when this process began
        self.registry = prometheus.CollectorRegistry(auto_describe=False)
        self._states: dict[str, State] = {}
        self._standing: dict[str, tuple[str, int]] = {}
        self._observers: dict[str, _Observer] = {}
        self._journal: Path | None = None
        own: dict[str, Any] = {"registry": self.registry}
        self.opened = prometheus.Counter(
            "runbook_incidents_opened", "Incidents that opened.", ["runbook", "detector", "severity"], **own
        )
        self.ended = prometheus.Counter(
            "runbook_incidents_ended", "Incidents that ended: cured, unhealed, unverified, interrupted.",
            ["runbook", "detector", "end"], **own,
        )  # fmt: skip
        self.refused = prometheus.Counter(
            "runbook_refusals", "Recoveries that a guard held back.", ["runbook", "guard"], **own
        )
        self.unknown = prometheus.Counter(
            "runbook_unknown_looks",
            "Looks of which nothing, or not all, could be said.",
            ["runbook", "detector"],
            **own,
        )
        self.steps = prometheus.Counter(
            "runbook_steps", "Steps that ended, by how.", ["runbook", "module", "status"], **own
        )
        self.step_seconds = prometheus.Histogram(
            "runbook_step_duration_seconds", "How long steps took.", ["runbook", "module"], buckets=SPANS, **own
        )
        self.attempts = prometheus.Counter(
            "runbook_attempts", "Attempts of operations.", ["runbook", "operation", "result"], **own
        )
        self.told = prometheus.Counter(
            "runbook_messages", "Messages to channels: sent, failed, held.", ["runbook", "channel", "status"], **own
        )
        self.detected = prometheus.Histogram(
            "runbook_time_to_detect_seconds",
            "From an event's own time, or the first look that saw the fault, to the opening of its incident.",
            ["runbook"], buckets=SPANS, **own,
        )  # fmt: skip
        self.healed = prometheus.Histogram(
            "runbook_time_to_heal_seconds", "From the first look that saw a fault to its verified cure.",
            ["runbook"], buckets=SPANS, **own,
        )  # fmt: skip
        self.ticks = prometheus.Histogram(
            "runbook_tick_duration_seconds", "How long it took a host to answer its looks, and us to decide.",
            ["runbook"], buckets=SPANS, **own,
        )  # fmt: skip
        self.lag = prometheus.Gauge("runbook_lag_seconds", "By how much the last tick began late.", ["runbook"], **own)
        self.ticked = prometheus.Gauge(
            "runbook_last_tick_timestamp_seconds", "When a tick ended last.", ["runbook"], **own
        )
        prometheus.ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def observer(self, name: str) -> Observer:
        """Return who counts what happens to one runbook."""
        return self._observers.setdefault(name, _Observer(self, name))

    def saw(self, name: str, state: State) -> None:
        """Keep what is known now; nothing is computed before somebody asks."""
        self._states[name] = state

    def tick(self, name: str, host: str, seconds: float, lag: float) -> None:  # noqa: ARG002 -- hosts are no labels
        """Take in that the looks of one host are over."""
        self.ticks.labels(name).observe(max(0.0, seconds))
        self.lag.labels(name).set(max(0.0, lag))
        self.ticked.labels(name).set_to_current_time()

    def standing(self, name: str, standing: str, epoch: int = 0) -> None:
        """Take in what the watch does about a runbook: active, standby, observing or stopped."""
        self._standing[name] = (standing, epoch)

    def journal(self, path: str | Path) -> None:
        """Name the journal whose bytes are told."""
        self._journal = Path(path)

    def forget(self, name: str) -> None:
        """Leave out the gauges of a runbook that is watched no more; what was counted stays counted."""
        self._states.pop(name, None)
        self._standing.pop(name, None)

    def collect(self) -> Iterable[Metric]:
        """Yield what is computed when it is asked for."""
        yield gauges.build({"version": runbook.__version__, "python": platform.python_version()})
        yield from gauges.standing(dict(self._standing))
        if self._journal is not None:
            yield gauges.journal(sum(map(_bytes, (self._journal, Path(f"{self._journal}-wal")))))
        absent = {name: one.absent for name, one in dict(self._observers).items()}
        yield from gauges.states(dict(self._states), absent)


class _Observer:
    """Counts the facts of one runbook."""

    def __init__(self, metrics: Metrics, name: str) -> None:
        self._metrics = metrics
        self._name = name
        self._words: dict[str, set[str]] = {}
        self.absent: dict[tuple[str, str], float] = {}  # by host and detector: when it was lacking last

    def fact(self, fact: Fact) -> None:
        """Count what happened."""
        metrics, name, data = self._metrics, self._name, fact.data
        if fact.kind == "incident.opened":
            self._opened(fact)
        elif fact.kind == "incident.ended":
            metrics.ended.labels(name, self._word("detector", fact.detector), self._word("end", data.get("to"))).inc()
            since = data.get("since")
            if data.get("to") == "cured" and isinstance(since, int | float):
                metrics.healed.labels(name).observe(max(0.0, fact.at - since))
        elif fact.kind == "step.ended":
            module = self._word("module", data.get("module"))
            metrics.steps.labels(name, module, self._word("status", data.get("status"))).inc()
            if isinstance(took := data.get("duration"), int | float):
                metrics.step_seconds.labels(name, module).observe(max(0.0, took))
        elif fact.kind == "attempt.ended":
            operation = self._word("operation", fact.operation)
            metrics.attempts.labels(name, operation, "ok" if data.get("ok") else "failed").inc()
        elif fact.kind == "guard.refused":
            metrics.refused.labels(name, self._word("guard", data.get("guard"))).inc()
        elif fact.kind == "look.unknown":
            metrics.unknown.labels(name, self._word("detector", fact.detector)).inc()
        elif fact.kind == "look.absent":
            self.absent[fact.host, fact.detector] = fact.at
        elif fact.kind == "channel.told":
            channel = self._word("channel", data.get("channel"))
            metrics.told.labels(name, channel, self._word("status", data.get("status"))).inc()

    def progress(self, host: str, title: str, text: str, share: float | None = None) -> None:
        """Leave it: how far a step is, is no number that lasts."""

    def _opened(self, fact: Fact) -> None:
        severity = self._word("severity", fact.data.get("severity"))
        self._metrics.opened.labels(self._name, self._word("detector", fact.detector), severity).inc()
        fields, since = fact.data.get("fields") or {}, fact.data.get("since")
        happened = fields.get("time")
        begun = happened if isinstance(happened, int | float) and 0 <= fact.at - happened < _LATEST else since
        if isinstance(begun, int | float):
            self._metrics.detected.labels(self._name).observe(max(0.0, fact.at - begun))

    def _word(self, label: str, given: Any) -> str:
        """Return a label's value; there is an end to how many there are, whatever comes."""
        known = self._words.setdefault(label, set())
        text = str(given or "")
        if text not in known and len(known) >= _MOST:
            return "other"
        known.add(text)
        return text


def serve(address: str, metrics: Metrics) -> Callable[[], None]:
    """Let Prometheus scrape; return what ends it.

    Args:
        address: HOST:PORT; a port alone is one of the loopback interface.
        metrics: what is told.

    Raises:
        UserError: the address can't be listened on.
    """
    return listener(address, metrics)[1]


def listener(address: str, metrics: Metrics) -> tuple[str, Callable[[], None]]:
    """Return the address that is listened on, and what ends it; see `serve`."""
    host, port = listening.parse(address, OPTION)

    class Handler(http.server.BaseHTTPRequestHandler):
        server_version, sys_version, timeout = "runbook", "", 10.0

        def do_GET(self) -> None:
            """Tell all metrics."""
            if self.path.partition("?")[0] not in {"/metrics", "/"}:
                self.send_error(HTTPStatus.NOT_FOUND, "see /metrics")
                return
            encode, kind = choose_encoder(self.headers.get("Accept", ""))
            text = encode(metrics.registry)
            with contextlib.suppress(OSError):
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    server = listening.bound(lambda: listening.Server((host, port), Handler), (host, port), OPTION)
    return listening.written(host, int(server.server_address[1])), server.begin()


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
