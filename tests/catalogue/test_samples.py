"""The catalogue that comes with runbook: each sample of each signature is a test, and so is what holds for all."""

import re
from fnmatch import fnmatchcase
from functools import cache

import pytest

from runbook.engine.language import signature_files, signatures, source
from runbook.engine.language.lint import signatures as lint
from runbook.modules import xid
from runbook.modules.logs.match import matcher
from runbook.modules.logs.patterns import Pattern

FILES = signature_files.bundled()
CATALOGUE = signatures.Catalogue(signatures.bundled(samples=True))
SIGNATURES = CATALOGUE.signatures
EVERYTHING = pytest.mark.parametrize("one", SIGNATURES.values(), ids=list(SIGNATURES))

# What public reports were found to hold, each with a real line: the least that the catalogue knows.
KNOWN = """
kmsg.xid kmsg.xid_nvlink5 kmsg.xid154 kmsg.fallen_off_bus kmsg.fallen_off_bus_multiline kmsg.sxid
kmsg.rx_detect kmsg.oom_context kmsg.oom_global kmsg.oom_kill kmsg.segfault kmsg.trap kmsg.hung_task
kmsg.soft_lockup kmsg.mce kmsg.pcie_aer kmsg.fs_ro kmsg.nvme kmsg.nfs kmsg.mlx5 kmsg.nic_watchdog kmsg.thermal
kmsg.file_max slurm.oom slurm.oom_srun slurm.timeout slurm.preempt slurm.node_fail cuda.oom cuda.assert
cuda.ima cuda.ecc cuda.launch cuda.unavail nccl.watchdog nccl.abort nccl.heartbeat nccl.ib torch.sigkill
torch.shm torch.worker_killed torch.child_failed train.nan ckpt.corrupt disk.full fs.stale fs.perm fs.nofile
net.port vllm.dead vllm.kv sglang.watchdog ray.dead hf.truncated hf.timeout hf.429 hf.auth
""".split()  # noqa: SIM905 -- read by people

# Whose lines another one, before it, may name too: both are right, and the one before says more.
SHARED = {
    "fs.nofile": ("torch.fds",),
    "net.reset": ("hf.timeout",),
    "gpu.lost": ("cuda.*",),
    "gpu.container": ("cuda.*",),
    "gpu.nvml": ("cuda.*",),
    "gpu.fabric_not_ready": ("cuda.*",),
    "rocm.fault": ("cuda.*",),
    "k8s.oom": ("kmsg.oom_kill",),
    "kmsg.mce": ("kmsg.mce_corrected",),
    "nccl.shm": ("torch.shm",),
    "nccl.cuda": ("cuda.*",),
    "net.tls": ("hf.timeout",),
    "net.proxy": ("hf.timeout",),
    "torch.child_failed": ("torch.sig*", "proc.illegal", "torch.elastic_failed"),
}


@cache
def compiled(name):
    return [re.compile(regex) for regex in SIGNATURES[name].pattern]


def ends(name, sample):
    """The lines of a sample in which a match of a signature ends."""
    lines = sample.split("\n")
    if SIGNATURES[name].lines == 1:
        return {number for number, line in enumerate(lines) if any(each.search(line) for each in compiled(name))}
    found = (match for each in compiled(name) for match in each.finditer(sample))
    return {sample.count("\n", 0, match.end()) for match in found}


@EVERYTHING
def test_a_signature_matches_its_samples(one):
    assert one.match
    assert [sample for sample in one.match if not ends(one.id, sample)] == []


@EVERYTHING
def test_a_signature_does_not_match_its_near_misses(one):
    assert one.near_miss
    assert [sample for sample in one.near_miss if ends(one.id, sample)] == []


@EVERYTHING
def test_the_matcher_of_the_logs_finds_the_samples_too(one):
    patterns = [Pattern(one.id, regex, one.role, one.lines, one.event) for regex in signatures.joined(one.pattern)]
    for sample in one.match:
        hits = list(matcher(patterns, 0).hits(sample.encode() + b"\n"))
        assert hits, sample
        assert {hit.name for hit in hits} == {one.id}


@EVERYTHING
def test_no_signature_before_it_takes_the_samples_of_another(one):
    """What may stands in `SHARED`."""
    before = list(SIGNATURES)[: list(SIGNATURES).index(one.id)]
    earlier = [name for name in before if not any(fnmatchcase(name, glob) for glob in SHARED.get(one.id, ()))]
    taken = []
    for sample in one.match:
        own = ends(one.id, sample)
        takers = {name: ends(name, sample) for name in earlier}
        if own and all(any(line in lines for lines in takers.values()) for line in own):
            taken.append((sample, [name for name, lines in takers.items() if lines & own]))
    assert taken == [], f"narrow them, move {one.id} before them (`precedence` of the file), or add it to SHARED"


@EVERYTHING
def test_a_signature_says_what_it_means_and_what_to_do(one):
    assert one.title == one.title.strip()
    assert not one.title.endswith(".")
    assert len(one.title) <= 60
    assert len(one.meaning) > 20
    assert len(one.advice) > 10
    assert one.action is None or one.action in xid.ORDER


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_of_the_catalogue_has_no_finding(path):
    """No slow pattern, none that an engine of linear time can't take, no cause that is not in the catalogue, and more."""
    found = lint.checked(source.read(path))
    assert [f"{each.span}: {each.message}" for each in found] == []


def test_every_id_stands_once():
    ids = [entry["id"] for path in FILES for entry in signature_files.read(path).entries]
    assert sorted({name for name in ids if ids.count(name) > 1}) == []
    assert len(ids) == len(SIGNATURES)


def test_what_is_known_from_public_reports_is_there():
    assert sorted(set(KNOWN) - set(SIGNATURES)) == []


def test_reading_without_samples_gives_the_same_signatures():
    from dataclasses import replace

    bare = signatures.bundled(samples=False)
    assert list(bare) == list(SIGNATURES)
    for name, one in SIGNATURES.items():
        assert bare[name] == replace(one, match=(), near_miss=())
