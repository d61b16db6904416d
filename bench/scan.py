"""How fast the whole catalogue is found in 500 MB, against ripgrep with the same patterns, and in how much memory.

ripgrep tells which lines match, and not what they are. Where every fifth line hits, there is a second peer, which names
them as well: ripgrep, and Python's `re` for the lines that it tells. Times are processor time, of one thread each.
"""

from __future__ import annotations

import gc
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import measure

from runbook.engine.cli import COLLECTIONS
from runbook.engine.language.signatures import catalogue
from runbook.modules.logs import match
from runbook.modules.logs.match import judge
from runbook.modules.logs.scan import scan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runbook.modules.logs.patterns import Pattern

NEEDS_ANSIBLE = False
RIPGREP = str(measure.HERE.parent / ".venv-bench" / "bin" / "rg")
MEGABYTE = 1_000_000
_SIZE, _DENSE, _PART, _SAMPLE = 500 * MEGABYTE, 16 * MEGABYTE, 8 * MEGABYTE, MEGABYTE // 4
_ORDINARY = (
    "[{ts}] [rank{r}] train.py:{n}] step {s}/200000 | loss {f:.4f} | grad_norm {g:.3f} | lr 3.00e-04 | tokens/s {m}",
    "(EngineCore_DP0 pid={m}) INFO {ts} [loggers.py:127] Engine 000: Avg prompt throughput: {g:.1f} tokens/s, {r}",
    'INFO:     10.0.{r}.{r}:{n} - "POST /v1/chat/completions HTTP/1.1" 200 OK',
    "node{r}:{m}:{n} [{r}] NCCL INFO Channel {r:02d}/0 : {r}[{r}] -> 5[5] via P2P/CUMEM/read comm 0x{m:x} nranks 16",
    "Nov 22 04:{t:02d}:{t:02d} node{r} systemd[1]: Started session-{n}.scope - Session {n} of User ubuntu.",
    "{ts},{n} DEBUG dataloader worker {r} | fetched shard {m} of 10000 | 12.{r} GiB of 80 GiB | device cuda:{r}",
    '  File "/opt/venv/lib/python3.11/site-packages/torch/nn/modules/module.py", line {n}, in _call_impl',
)
_INNOCENT = (
    "{ts},{n} WARNING file_download: retry {r} of 5 for model-{n}-of-00064.safetensors, timeout=60, keep-alive",
    "Nov 22 04:{t:02d}:{t:02d} node{r} kernel: [{m}.{n}] NVRM: loading NVIDIA UNIX x86_64 Kernel Module  570.{n}.{r}",
    "{ts} | health | errors: 0 | failed: 0 | killed: 0 | out of memory: 0 | exit code 0 | connection refused: 0",
    "slurmctld: sched: Allocate JobId={m} NodeList=node{r} #CPUs=64 Partition=gpu, error_bits=0",
)


def results(rounds: int) -> list[measure.Result]:
    """Measure; a fifth as many rounds as other benchmarks have, each of which reads a gigabyte."""
    if not Path(RIPGREP).exists():
        sys.exit(f"there is no {RIPGREP}; `make bench` installs it")
    patterns = catalogue().patterns()
    with tempfile.TemporaryDirectory(prefix="runbook-bench-") as folder:
        root = Path(folder)
        rare, dense, given = root / "rare.log", root / "dense.log", root / "patterns"
        _write(rare, _SIZE, hit_every=10_000)
        _write(dense, _DENSE, hit_every=5)
        given.write_text("".join(f"{_plain(pattern.regex)}\n" for pattern in patterns if pattern.lines == 1))
        os.environ["XDG_CACHE_HOME"] = os.environ["XDG_STATE_HOME"] = folder  # nothing is left behind
        checked = _check(rare.read_bytes()[:_SAMPLE], patterns) + _check(dense.read_bytes()[:_SAMPLE], patterns)
        taken, memory = _interleaved(
            {
                "runbook scan, 500 MB": [measure.RUNBOOK, "scan", "--quiet", str(rare)],
                "rg -c -j1, 500 MB": _ripgrep(given, rare, "--count"),
                "runbook's scanner, 16 MB, every fifth line": [sys.executable, __file__, "ours", str(dense)],
                "rg -c -j1, the same": _ripgrep(given, dense, "--count"),
                "rg -j1 and re, the same": [sys.executable, __file__, str(given), str(dense)],
            },
            max(3, rounds // 4),
        )
        single = [pattern for pattern in patterns if pattern.lines == 1]
        forty = single[:: len(single) // 40][:40]
        others = [*(_fallback(name, rare, forty) for name in ("re2", "grep", "literals")), _first(rare)]
    ours, lines, ours_dense, lines_dense, named = taken
    note = f"{len(patterns)} patterns; the same {checked} matches as by re in two samples of 250 kB, by every engine"
    dense_only = {name: taken[name] for name in (ours_dense, lines_dense)}
    both = {name: taken[name] for name in (ours_dense, named)}
    return [
        measure.ratio(f"scan against ripgrep ({note})", ours, lines, {n: taken[n] for n in (ours, lines)}, 0.5),
        measure.ratio("scan where every fifth line hits, against ripgrep", ours_dense, lines_dense, dense_only, 0.25),
        measure.ratio("the same, against ripgrep and re", ours_dense, named, both, 0.25),
        measure.Result("memory of a scan of 500 MB", memory[ours], 80, "MB"),
        *others,
    ]


def _ripgrep(patterns: Path, log: Path, *options: str) -> list[str]:
    return [RIPGREP, "-j1", "--text", "--no-unicode", "--no-config", *options, "-f", str(patterns), str(log)]


def _plain(regex: str) -> str:
    """Take the names from groups: ripgrep joins the patterns, and then a name may stand but once."""
    return re.sub(r"\(\?P<\w+>", "(?:", regex)


def _write(path: Path, size: int, *, hit_every: int) -> None:
    """Write a log, the same on every machine."""
    signatures = catalogue(samples=True).signatures.values()
    hits = [text for each in signatures for text in each.match if "\n" not in text]
    near = [text for each in signatures for text in each.near_miss if "\n" not in text]
    chance = random.Random(7)
    part, length, count = [], 0, 0
    while length < _PART:
        count += 1
        stamp = f"2026-11-22 04:{chance.randrange(60):02d}:{chance.randrange(60):02d}"
        if count % hit_every == 0:
            line = f"{stamp} {chance.choice(hits)}"
        elif count % 50 == 0:
            line = f"{stamp} {chance.choice(near)}"
        else:
            template = chance.choice(_INNOCENT if count % 20 == 0 else _ORDINARY)
            numbers: dict[str, Any] = {"r": chance.randrange(16), "n": chance.randrange(9999)}
            numbers |= {"m": chance.randrange(10**6), "s": chance.randrange(200_000), "t": chance.randrange(60)}
            line = template.format(ts=stamp, f=chance.random() * 9, g=chance.random() * 999, **numbers)
        part.append(line)
        length += len(line.encode()) + 1
    text = "\n".join(part).encode() + b"\n"
    with path.open("wb") as file:
        for _ in range(size // len(text) + 1):
            file.write(text)


def _check(sample: bytes, patterns: Sequence[Pattern]) -> int:
    """See that every engine finds what `re` finds line by line; return how many matches that are."""
    lines = sample[: sample.rfind(b"\n") + 1].decode().splitlines()
    compiled = [(pattern.name, re.compile(pattern.regex)) for pattern in patterns if pattern.lines == 1]
    expected = [
        (index, next((name for name, regex in compiled if regex.search(line)), "")) for index, line in enumerate(lines)
    ]
    expected = [match for match in expected if match[1]]
    single = [pattern for pattern in patterns if pattern.lines == 1]
    for engine in ("hyperscan", "re2", "grep", "literals"):
        os.environ["RUNBOOK_SCANNER"] = engine
        found = [(hit.index, hit.name) for hit in judge(single, 0).hits(sample[: sample.rfind(b"\n") + 1])]
        if found != expected:
            wrong = sorted(set(found) ^ set(expected))[:3]
            sys.exit(f"{engine} and re differ: {[(name, lines[index]) for index, name in wrong]}")
    del os.environ["RUNBOOK_SCANNER"]
    return len(expected)


_MEASURE = """
import json, os, subprocess, sys
null = open(os.devnull, "w")
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=null)
_, status, used = os.wait4(child.pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""  # a small process: to one that it starts the kernel counts the memory of the one that starts it


def _interleaved(
    programs: Mapping[str, Sequence[str]], rounds: int
) -> tuple[dict[str, measure.Times], dict[str, float]]:
    """Return the processor times of each program, and its largest memory in MB."""
    taken: dict[str, list[float]] = {name: [] for name in programs}
    memory = dict.fromkeys(programs, 0.0)
    for number in range(rounds + 1):
        for name, argv in programs.items():
            with tempfile.TemporaryFile() as out:
                done = subprocess.run(
                    [sys.executable, "-I", "-S", "-c", _MEASURE, *argv],
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=out, check=False,
                )  # fmt: skip
                status, seconds, kilobytes = json.loads(done.stdout)
                if status not in {0, 2}:  # `scan` ends with 2 where it found crashes
                    out.seek(0)
                    sys.exit(f"{' '.join(argv)} ended with {status}:\n{out.read().decode()[-2000:]}")
            memory[name] = max(memory[name], kilobytes / 1024)
            if number:
                taken[name].append(seconds)
    return {name: measure.Times(tuple(runs)) for name, runs in taken.items()}, memory


def _fallback(engine: str, log: Path, patterns: Sequence[Pattern]) -> measure.Result:
    """Return how much processor time a host without hyperscan takes to read a first backlog."""
    part = log.with_name("part.log")
    with log.open("rb") as file:
        part.write_bytes(file.read(100 * MEGABYTE))
    os.environ["RUNBOOK_SCANNER"] = engine
    runs = []
    for _ in range(3):
        match.forget()
        begun = _used()
        scan(str(part), patterns)
        match.forget()  # what it started ends, and is counted
        gc.collect()
        runs.append(_used() - begun)
    del os.environ["RUNBOOK_SCANNER"]
    detail = f"{100 / statistics.median(runs):.0f} MB/s"
    what = f"a backlog of 100 MB by {engine}, {len(patterns)} patterns"
    return measure.Result(what, statistics.median(runs) * 1000, 1000, "ms", (detail,))


def _used() -> float:
    """Return the processor time of this process, and of those that it started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _first(log: Path) -> measure.Result:
    """Return how long the first scan of a small log takes, with nothing kept of an earlier one."""
    part, runs = log.with_name("small.log"), []
    with log.open("rb") as file:
        part.write_bytes(file.read(MEGABYTE))
    for number in range(3):
        env = {**os.environ, "XDG_CACHE_HOME": str(log.with_name(f"cache-{number}"))}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([measure.RUNBOOK, "scan", "--quiet", str(part)], env=env, capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        runs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    name = "a first scan of 1 MB, nothing compiled, processor time"
    return measure.Result(name, statistics.median(runs) * 1000, 600, "ms")


def _name(patterns: Path, log: Path) -> Iterator[tuple[str, int]]:
    """Do what ripgrep leaves to do: name each line that it tells by the first pattern that matches."""
    compiled = [(line, re.compile(line)) for line in patterns.read_text().splitlines()]
    count: Counter[str] = Counter()
    with subprocess.Popen(_ripgrep(patterns, log, "--no-filename"), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            count[next((name for name, regex in compiled if regex.search(line.rstrip("\n"))), "")] += 1
    yield from count.items()


if __name__ == "__main__":
    gc.set_threshold(*COLLECTIONS)  # as `runbook scan` has it
    if sys.argv[1] == "ours":
        print({name: sighting.count for name, sighting in scan(sys.argv[2], catalogue().patterns()).found.items()})
    else:
        print(dict(_name(Path(sys.argv[1]), Path(sys.argv[2]))))
