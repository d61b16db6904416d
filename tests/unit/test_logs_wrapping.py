"""What docker, Kubernetes and journalctl write around lines is taken off, and lines in pieces are put together."""

import json
from datetime import datetime

import pytest

from runbook.modules.logs import opening
from runbook.modules.logs.patterns import Pattern
from runbook.modules.logs.pieces import together
from runbook.modules.logs.scan import scan

OOM = Pattern("oom", r"CUDA out of memory")
NCCL = Pattern("nccl", r"NCCL \w+ failed")
STAMP = "2026-11-22T02:41:11.500000000Z"
MOMENT = datetime.fromisoformat("2026-11-22T02:41:11.5+00:00").timestamp()


@pytest.fixture(params=["hyperscan", "literals"], autouse=True)
def engine(request, monkeypatch):
    monkeypatch.setenv("RUNBOOK_SCANNER", request.param)


def docker(text, stream="stderr", *, spaced=False):
    record = {"log": text, "stream": stream, "time": STAMP}
    return json.dumps(record, separators=None if spaced else (",", ":")) + "\n"


def spaced(text, stream="stderr"):
    return docker(text, stream, spaced=True)


def cri(text, stream="stderr"):
    return f"{STAMP} {stream} {'F' if text.endswith(chr(10)) else 'P'} {text.rstrip(chr(10))}\n"


def journal(message):
    return json.dumps({"__CURSOR": "s=1", "__REALTIME_TIMESTAMP": "1795315271500000", "MESSAGE": message}) + "\n"


KINDS = pytest.mark.parametrize("wrap", [docker, spaced, cri, lambda text: journal(text.rstrip("\n"))])
PIECES = pytest.mark.parametrize("wrap", [docker, spaced, cri])


def scanned(tmp_path, text, **more):
    log = tmp_path / "log"
    log.write_text(text)
    return scan(str(log), [OOM, NCCL], **more)


@KINDS
def test_evidence_and_what_stands_around_it_are_what_was_said(tmp_path, wrap):
    found = scanned(tmp_path, "".join(map(wrap, ["a\n", 'b "c"\n', "\x1b[31mCUDA out of memory\x1b[0m\n", "d\n"])))
    spot = found.found["oom"].first
    assert (spot.line, spot.before, spot.after) == ("CUDA out of memory", ("a", 'b "c"'), ("d",))
    assert (spot.line_no, spot.time, found.lines) == (3, MOMENT, 4)


@KINDS
def test_the_time_beside_a_line_says_whether_it_is_late_enough(tmp_path, wrap):
    text = wrap("2020-01-01 00:00:00 CUDA out of memory\n")
    assert not scanned(tmp_path, text, since=MOMENT + 1).found
    assert scanned(tmp_path, text, since=MOMENT - 1).found["oom"].count == 1


@KINDS
def test_a_message_of_several_lines_is_as_many_at_one_place(tmp_path, wrap):
    found = scanned(tmp_path, wrap("a\n") + wrap("Traceback\rCUDA out of memory\rb\n") + wrap("NCCL op failed\n"))
    spot = found.found["oom"].first
    assert (spot.line_no, spot.line, spot.before, spot.time) == (2, "CUDA out of memory", ("a", "Traceback"), MOMENT)
    assert (found.found["nccl"].first.line_no, found.found["nccl"].first.time) == (3, MOMENT)


@KINDS
@pytest.mark.parametrize("block", [5000, 262144])
def test_wrapped_lines_far_within_a_plain_log_are_known(tmp_path, monkeypatch, wrap, block):
    monkeypatch.setattr(opening, "BLOCK", block)
    inner = "".join(wrap(f"{n} said\n") for n in range(60)) + wrap('"\tCUDA out of memory"\n')
    plain = "2026-11-22 04:00:00 step 4001 loss 2.30\n"
    found = scanned(tmp_path, plain * 9000 + inner * 2 + plain * 9000 + "NCCL op failed\n")
    oom, nccl = found.found["oom"], found.found["nccl"]
    assert [(spot.line_no, spot.line, spot.time) for spot in oom.spots] == [
        (9061, '"\tCUDA out of memory"', MOMENT),
        (9122, '"\tCUDA out of memory"', MOMENT),
    ]
    assert oom.first.before == ("58 said", "59 said")
    assert (nccl.first.line_no, found.lines) == (18_123, 18_123)


def test_a_message_of_bytes_is_text(tmp_path):
    found = scanned(tmp_path, journal(list("\xff CUDA out of memory\nx".encode("latin-1"))))
    assert found.found["oom"].first.line == "\ufffd CUDA out of memory"
    assert found.found["oom"].first.after == ("x",)


@PIECES
@pytest.mark.parametrize("block", [100, 5000, 1 << 18])
def test_pieces_are_one_line_that_counts_once(tmp_path, monkeypatch, wrap, block):
    monkeypatch.setattr(opening, "BLOCK", block)
    text = (
        wrap("first\n") + wrap("." * 16384) + wrap("CUDA out o") + wrap("NCCL op failed\n", "stdout")
        + wrap("f memory\n") + wrap("CUDA out of memory\n") + wrap("last\n")
    )  # fmt: skip
    told = []
    found = scanned(tmp_path, text, each=lambda line, name, _: told.append((line, name)))
    oom = found.found["oom"]
    assert (oom.count, [spot.line_no for spot in oom.spots], found.lines) == (2, [5, 6], 7)
    assert oom.first.line.endswith("...CUDA out of memory")
    assert oom.last.after == ("last",)
    assert (found.found["nccl"].count, found.found["nccl"].first.line_no) == (1, 4)
    assert told == [(4, "nccl"), (5, "oom"), (6, "oom")]


@PIECES
def test_pieces_without_an_end_are_taken_as_they_stand(tmp_path, wrap):
    found = scanned(tmp_path, wrap("a\n") + wrap("." * 16384) + wrap("CUDA out of memory"))
    assert (found.found["oom"].count, found.lines, found.found["oom"].first.time) == (1, 3, MOMENT)


@PIECES
def test_a_line_of_endless_pieces_takes_no_memory_and_is_told_of(tmp_path, wrap):
    found = scanned(tmp_path, wrap("CUDA out of memory" + "." * 16366) + wrap("." * 16384) * 40 + wrap("x\n"))
    assert found.found["oom"].count == 1
    assert len(found.found["oom"].first.line) <= 8192
    assert found.note == "1 line is longer than 64 KiB: matched in its first 64 KiB"


@pytest.mark.parametrize("wrap", [docker, spaced])
def test_lines_of_a_writer_that_leaves_out_their_ends_stand_for_themselves(tmp_path, wrap):
    found = scanned(tmp_path, "".join(wrap(text) for text in ["a", "CUDA out of memory", "b", "NCCL op failed"] * 500))
    assert (found.found["oom"].count, found.found["nccl"].count) == (500, 500)
    assert found.found["nccl"].first.before == ("CUDA out of memory", "b")


@pytest.mark.parametrize(
    "line", ['{"log":"CUDA out of memory', '{"log":1,"stream":"x"} CUDA out of memory', "{CUDA out of memory"]
)
def test_what_only_looks_wrapped_is_matched_as_it_stands(tmp_path, line):
    found = scanned(tmp_path, docker("a\n") + line + "\n" + cri("NCCL op failed\n"))
    assert (found.found["oom"].first.line, found.found["oom"].first.line_no) == (line, 2)
    assert found.found["nccl"].first.line == "NCCL op failed"


def test_pieces_are_put_together_for_who_follows_a_log():
    part = "".join([cri("a\n"), cri("." * 9), cri("b", "stdout"), cri("c\n")]).encode()
    lines, end = together(part)
    assert lines.split(b"\n")[3] == f"{STAMP} stderr F .........c".encode()
    assert part[end:] == f"{STAMP} stdout P b\n{STAMP} stderr F c\n".encode()
