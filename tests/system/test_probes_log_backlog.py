"""A first look at a log that is large already, with the whole catalogue: it is cut by time, and goes on, and is seen."""

from dataclasses import replace

from log_watch import Watch

from runbook.engine.fleet import Spec, local
from runbook.engine.language import params
from runbook.engine.language.chosen import resolved
from runbook.engine.model import Seen
from runbook.modules import catalogue
from runbook.modules.logs import tail

MEGABYTE = 1_000_000
ORDINARY = (
    "2026-11-22 04:10:31 [rank3] train.py:812] step 1200/200000 | loss 2.1873 | grad_norm 0.412 | tokens/s 48211\n"
)
FAULT = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB\n"
)


def written(path, megabytes):
    """Write a log with one fault in each megabyte."""
    part = ORDINARY * (MEGABYTE // len(ORDINARY)) + FAULT
    with path.open("w") as file:
        for _ in range(megabytes):
            file.write(part)
    return part.count("\n")


def everything(path):
    probe = catalogue.probe("log")
    return resolved(probe, params.coerce(probe, {"paths": [str(path)], "signatures": ["*"], "from": "start"}))


def test_a_backlog_of_300_megabytes_is_seen_whole_by_looks_that_none_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # nothing was compiled before
    log = tmp_path / "train.log"
    lines = written(log, 300)
    spec = Spec("everything", "log", everything(log))
    found = []
    with local.connect(tmp_path / "agent") as agent:
        while not found or spec.state.get("behind"):
            look = agent.probe([spec])["everything"]
            assert isinstance(look, Seen), look
            assert "trouble" not in look.state
            found += [(record.fields["line_no"], record.fields["signature"]) for record in look.records]
            spec = replace(spec, state=look.state)
    assert found == [(lines * (number + 1), "cuda.oom") for number in range(300)]


def test_looks_that_are_cut_by_time_go_on_where_they_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(tail, "BUDGET", 0.05)
    monkeypatch.setattr(tail, "LEAST", 0.05)
    monkeypatch.setenv("RUNBOOK_SCANNER", "literals")
    log = tmp_path / "train.log"
    lines = written(log, 6)
    whole = everything(log)
    watch = Watch(log, patterns=(), signatures=("*",), from_="start", _catalogue=whole["_catalogue"])
    looks = []
    while not looks or watch.state["behind"]:
        looks.append([record.line_no for record in watch.look()])
    assert len(looks) > 1
    assert [number for look in looks for number in look] == [lines * (number + 1) for number in range(6)]
