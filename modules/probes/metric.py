"""The probe `metric`."""

from typing import Any, ClassVar, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Type, Union

from runbook.modules.declare import UNSEEN, Argv, Duration, Invalid, Path, Probe, Record, Regex, Unclear
from runbook.modules.frozen import frozen
from runbook.modules.host import Host
from runbook.modules.numbers import NoNumber
from runbook.modules.sampling import Sample, Source, told
from runbook.modules.window import MOST, extended, load, store, summary

_SERIES = 200  # of one detector
_TOTAL = 10_000  # samples of one detector
_SLACK = 60.0  # seconds by which the clock that lines are written by may differ from ours
_FORGOTTEN = 86400.0  # seconds after its window for which a silent series of a log is kept


@frozen
class MetricRecord(Record):
    """One series, over its window. What a window of so few samples can't say is unknown."""

    series: str  # the file, command or metric, with its labels
    labels: Mapping[str, str]  # of a metric its labels; of a pattern its named groups, without `value`
    value: Optional[float]  # the last number; null where it is none, or infinite
    mean: float  # of the window
    slope: float  # how much it changes a second, by least squares; new beginnings of a counter are passed over
    zscore: float  # by how many standard deviations the last number differs from those before it (5 at least)
    nan: int  # how many numbers of the window are none, or infinite
    samples: int  # how many there are in the window, at most the last 500


@frozen
class Metric(Probe):
    r"""A number over time: out of a log, JSON, a page of Prometheus metrics or what a program prints.

    The samples of the window are kept in the journal, so that it is the same whichever process looks. Of a log each
    line that matches is a sample, once, at the time it bears; elsewhere each look takes one. NaN and infinities are
    counted and left out of the mean, the slope and the z-score.

    Example:
        - name: loss explodes
          metric: {log: /train/output.log, pattern: 'loss[=: ]+(?P<value>\S+)', window: 200}
          when: nan > 0 or zscore > 6
        - name: queue grows
          metric: {url: "http://127.0.0.1:8000/metrics", metric: "vllm:num_requests_waiting", window: 10m}
          when: mean > 50 and slope > 0
        - name: throughput falls
          metric: {json: /train/status.json, field: tokens_per_second, window: 1h}
          when: value < mean * 0.5
    """

    record: ClassVar[Type[Record]] = MetricRecord
    subject: ClassVar[Optional[str]] = "series"

    json: Optional[Path] = None  # a JSON file, or a web address that answers with JSON
    log: Optional[Path] = None  # a log file
    url: Optional[str] = None  # a page of metrics in Prometheus' text format
    command: Argv = ()  # a program that prints the number, or JSON, lines or metrics with it
    field: Optional[str] = None  # in JSON: where the number stands, such as metrics.loss or ranks[0].loss
    pattern: Optional[Regex] = None  # in lines: the group `value`, or else the first, is the number; others are labels
    metric: Optional[str] = None  # on a page: the name, with labels if wanted: name{model="llama",rank=~"0|1"}
    window: Union[int, Duration] = 600.0  # how far back it reaches: a time, or a number of samples up to 500
    timeout_: Duration = 5.0  # for the answer of a web server or a program

    def check(self) -> None:
        """Refuse what names no number, and windows that hold nothing or too much."""
        self._source().check(("json", "log", "url", "command"))
        if self.window <= 0:
            raise Invalid("`window` holds nothing: write a time such as 10m, or a number of samples")
        if isinstance(self.window, int) and self.window > MOST:
            raise Invalid(f"`window` is at most {MOST} samples; write a time to reach further back")

    def look(self, host: Host) -> Iterator[Record]:
        """Take the samples that are new, and say what the window holds."""
        source = self._source()
        try:
            samples, cursor = source.read(host, host.remembered.get("log", {}))
        except FileNotFoundError:
            raise Unclear(f"{source.name} is not there") from None
        except NoNumber as error:
            raise Unclear(str(error)) from error
        now, written = host.now(), source.written()
        known = host.remembered.get("series", {})
        unchanged = self.json is not None and written is not None and written == host.remembered.get("written")
        if self.log is not None:
            fresh = _timed(samples, host.remembered.get("looked"), now)
        else:
            fresh = [] if unchanged and known else [(one, min(now, one.time or now)) for one in samples]
        series = self._extended(known, fresh, now)
        present = dict.fromkeys(series if self.log is not None else (sample.series for sample in samples))
        seen = [name for name in present if name in series]
        host.remember(series=series, looked=now, written=written, log=cursor, **told(cursor, len(present) - len(seen)))
        for name in seen:
            yield _record(name, series[name], self.window, now)

    def _extended(
        self, known: Mapping[str, Any], samples: Sequence[Tuple[Sample, float]], now: float
    ) -> Dict[str, Dict[str, Any]]:
        """Return the windows after these samples, without series that have long been silent."""
        new: Dict[str, List[Tuple[Sample, float]]] = {}
        for sample, at in samples:
            new.setdefault(sample.series, []).append((sample, at))
        most = max(2, _TOTAL // max(1, len({**known, **new})))
        series = {}
        for name in {**known, **new}:
            several = new.get(name, [])
            kept = load(known[name]) if name in known else []
            if self.log is None and kept:  # a page that says when, and says the same as before
                several = [(sample, at) for sample, at in several if at > kept[-1][0] or at == now]
            kept = extended(kept, [(at, sample.value) for sample, at in several], self.window, now)[-most:]
            if not kept or now - kept[-1][0] > _FORGOTTEN + (0 if isinstance(self.window, int) else self.window):
                continue
            last = several[-1][0] if several else None
            series[name] = {
                "labels": dict(last.labels) if last else known[name]["labels"],
                "counter": last.counter if last else known[name]["counter"],
                **store(kept),
            }
        # what was seen now comes first, and of it what was kept before; their times differ by how they were rounded
        newest = sorted(series, key=lambda name: (name not in new, name not in known, -load(series[name])[-1][0]))
        return {name: series[name] for name in newest[:_SERIES]}

    def _source(self) -> Source:
        return Source(
            json=self.json, log=self.log, url=self.url, command=self.command, field=self.field, pattern=self.pattern,
            metric=self.metric, timeout=self.timeout_,
        )  # fmt: skip


def _timed(samples: Sequence[Sample], looked: Optional[float], now: float) -> List[Tuple[Sample, float]]:
    """Return each sample with its time.

    What a line says of its time is believed where it lies between the two looks: a container's clock may have another
    zone. Else the samples are spread evenly over the time since the look before.
    """
    times = [sample.time for sample in samples]
    begin = now if looked is None or looked > now else looked
    if all(at is not None and (looked is None or begin - _SLACK <= at) and at <= now + _SLACK for at in times):
        return [(sample, min(now, at or now)) for sample, at in zip(samples, times)]
    step = (now - begin) / max(1, len(samples))
    return [(sample, begin + step * (place + 1)) for place, sample in enumerate(samples)]


def _record(name: str, kept: Mapping[str, Any], span: float, now: float) -> MetricRecord:
    said = summary(load(kept), span, now, counter=bool(kept["counter"]))
    return MetricRecord(
        series=name,
        labels=kept["labels"],
        value=said.value,
        mean=UNSEEN if said.mean is None else said.mean,
        slope=UNSEEN if said.slope is None else said.slope,
        zscore=UNSEEN if said.zscore is None else said.zscore,
        nan=said.nan,
        samples=said.samples,
    )
