"""The probe `progress`."""

import math
from typing import Any, ClassVar, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Type

from runbook.modules.declare import Absent, Duration, Path, Probe, Record, Regex, Unclear
from runbook.modules.elapsed import earlier, mark, since
from runbook.modules.frozen import frozen
from runbook.modules.host import Host
from runbook.modules.numbers import NoNumber
from runbook.modules.sampling import Sample, Source, told

_MOST = 200  # series whose clocks are kept


@frozen
class ProgressRecord(Record):
    """How far something is, and since when it has not gone on."""

    source: str  # the file, or the metric with its labels
    value: float  # the number, as it was last seen
    previous: Optional[float]  # the number before it last changed; null until it did
    stalled_for: Duration  # since it last rose or began anew, or since the first look; a set clock does not count
    rate: Optional[float]  # how much it rises a second, counted from the rise before the last one; null until it rose
    age: Optional[Duration]  # since the file was last written; null where it is gone, and for metrics
    reason: str  # why the number could not be read this time and the last one stands in; empty when it was read


@frozen
class Progress(Probe):
    r"""A number that should rise: a step in a status file or a log, a counter, the size of a file.

    The first look starts the clock, whichever process looks: it is kept in the journal. A number that falls is a run
    that began anew. A file that is gone, holds half a JSON document or no number for a while does not stop the clock;
    until a number was seen, a file that is not there is no fault.

    Example:
        - name: no progress
          progress: {json: /train/status.json, field: step}
          when: stalled_for > 10m
        - name: training hangs
          progress: {log: /train/output.log, pattern: 'step[ =:]+(?P<value>\d+)'}
          when: stalled_for > 15m and age is not none
        - name: nothing generated
          progress: {url: "http://127.0.0.1:8000/metrics", metric: "vllm:generation_tokens_total"}
          when: stalled_for > 5m
    """

    record: ClassVar[Type[Record]] = ProgressRecord
    subject: ClassVar[Optional[str]] = "source"

    json: Optional[Path] = None  # a JSON file, or a web address that answers with JSON
    log: Optional[Path] = None  # a log file; its last line that matches counts
    url: Optional[str] = None  # a page of metrics in Prometheus' text format
    file: Optional[Path] = None  # a file whose size is the number
    field: Optional[str] = None  # with `json`: where the number stands, such as metrics.step or ranks[0].step
    pattern: Optional[Regex] = None  # with `log`: the group `value`, or else the first group, is the number
    metric: Optional[str] = None  # with `url`: the metric's name, with labels if wanted; each series has its own clock
    timeout_: Duration = 5.0  # for the answer of a web server

    def check(self) -> None:
        """Refuse what names no number."""
        self._source().check(("json", "log", "url", "file"))

    def look(self, host: Host) -> Iterator[Record]:
        """Read the number, and compare it with the one of the look before."""
        source = self._source()
        clocks: Mapping[str, Mapping[str, Any]] = host.remembered.get("clocks", {})
        cursor = host.remembered.get("log", {})
        samples: List[Sample] = []
        reason = ""
        try:
            samples, cursor = source.read(host, cursor)
        except FileNotFoundError:
            reason = f"{source.name} is not there"
            if not clocks:
                raise Absent(f"{reason}: nothing has begun yet") from None
        except (NoNumber, Unclear) as error:
            reason = str(error)
            if not clocks:
                raise Unclear(reason) from error
        written = source.written()
        clocks, odd = _moved(host, clocks, samples, written)
        present = dict.fromkeys(clocks if reason or self.log else (sample.series for sample in samples))
        seen = [name for name in present if name in clocks]
        host.remember(clocks=clocks, log=cursor, **told(cursor, len(present) - len(seen)))
        if not clocks:
            raise Absent(f"no line of {source.name} has matched yet")
        for name in seen:
            yield _record(host, name, clocks[name], written, odd.get(name, reason))

    def _source(self) -> Source:
        return Source(
            json=self.json, log=self.log, url=self.url, file=self.file, field=self.field, pattern=self.pattern,
            metric=self.metric, timeout=self.timeout_,
        )  # fmt: skip


def _moved(
    host: Host, clocks: Mapping[str, Mapping[str, Any]], samples: Sequence[Sample], written: Optional[float]
) -> "Tuple[Dict[str, Dict[str, Any]], Dict[str, str]]":
    """Return the clocks after this look, and what is odd about a series' number."""
    moved = {name: dict(clock) for name, clock in clocks.items()}
    odd: Dict[str, str] = {}
    values: Dict[str, List[Sample]] = {}
    for sample in samples:
        values.setdefault(sample.series, []).append(sample)
    for name, several in values.items():
        finite = [sample for sample in several if math.isfinite(sample.value)]
        if not finite:
            odd[name] = f"{name} is {several[-1].value} and no number that can rise"
            if name not in moved:
                raise Unclear(odd[name])
        else:
            moved[name] = _turned(host, moved.get(name), finite, written)
    return dict(list(moved.items())[:_MOST]), odd


def _turned(
    host: Host, clock: Optional[Mapping[str, Any]], samples: Sequence[Sample], written: Optional[float]
) -> Dict[str, Any]:
    """Return a series' clock: its `value`, the `previous` one, when it `rose`, `before` that, and was `seen`."""
    now, last = mark(host), samples[-1]
    if clock is None:
        return {"value": last.value, "previous": None, "rose": now, "before": None, "seen": now}
    values = [clock["value"], *(sample.value for sample in samples)]
    if any(later < sooner for sooner, later in zip(values, values[1:])):
        return {"value": last.value, "previous": clock["value"], "rose": now, "before": None, "seen": now}
    if last.value == clock["value"]:
        return {**clock, "seen": now}
    told = last.time if last.time is not None else written
    age = 0.0 if told is None else host.now() - told
    rose = earlier(now, min(max(0.0, age), since(host, clock["seen"])))
    return {"value": last.value, "previous": clock["value"], "rose": rose, "before": clock["rose"], "seen": now}


def _record(host: Host, name: str, clock: Mapping[str, Any], written: Optional[float], reason: str) -> ProgressRecord:
    value, previous, before = clock["value"], clock["previous"], clock["before"]
    passed = since(host, before) if before is not None else 0.0
    return ProgressRecord(
        source=name,
        value=value,
        previous=previous,
        stalled_for=since(host, clock["rose"]),
        rate=(value - previous) / passed if passed and previous is not None else None,
        age=None if written is None else max(0.0, host.now() - written),
        reason=reason,
    )
