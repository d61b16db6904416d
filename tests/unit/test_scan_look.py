"""Kinds of Xid, the runs of a directory, and what is kept of a great many files."""

import pytest

from runbook.engine.language.signatures import catalogue
from runbook.engine.scan import find, look

XID = "2026-11-22T01:{:02d}:{:02d}+00:00 n1 kernel: NVRM: Xid (PCI:0000:3b:00): {}, pid=4711, name=python3, {}\n"


def scanned(*paths, **asked):
    return look.look(find.find([str(path) for path in paths]), catalogue(), look.Asked(**asked))


def told(*paths):
    """Return the incidents as (signature, kind, severity, action), and what is folded under each."""
    return [
        (one.root.sign.id, one.root.first.variant, look.signature(one.root).severity.value, [
            (each.sign.id, each.first.variant) for each in one.cascades
        ])
        for one in scanned(*paths).incidents
    ]  # fmt: skip


@pytest.fixture
def kernel(tmp_path):
    def write(*codes):
        path = tmp_path / "kernel.log"
        path.write_text("".join(XID.format(at // 60, at % 60, code, "something") for at, code in enumerate(codes)))
        return path

    return write


def test_an_xid_is_as_bad_as_its_code(kernel):
    assert told(kernel(31)) == [("kmsg.xid", "31", "medium", [])]
    assert told(kernel(79)) == [("kmsg.xid", "79", "critical", [])]


def test_an_xid_that_needs_nothing_is_nothing(kernel):
    done = scanned(kernel(43))
    assert (done.incidents, done.matched, done.exit_code) == ((), 1, 0)


def test_the_worse_xid_is_the_root_of_those_around_it(kernel):
    assert told(kernel(31, 79)) == [("kmsg.xid", "79", "critical", [("kmsg.xid", "31")])]
    assert told(kernel(45, 48)) == [("kmsg.xid", "48", "high", [("kmsg.xid", "45")])]


def test_a_companion_decides_what_a_double_bit_error_calls_for(kernel):
    assert told(kernel(48, 94)) == [("kmsg.xid", "94", "medium", [("kmsg.xid", "48")])]


def test_an_xid_that_matters_is_not_hidden_by_a_thousand_that_do_not(kernel):
    codes = [31] * 500 + [79] + [43] * 500 + [31] * 500
    found = told(kernel(*codes))
    assert found[0] == ("kmsg.xid", "79", "critical", [("kmsg.xid", "31")])
    counted = scanned(kernel(*codes))
    assert sum(each.count for one in counted.incidents for each in (one.root, *one.cascades)) == 1001
    assert counted.matched == 1501


def test_each_line_is_one_match_whatever_kind_it_is_of(kernel):
    matches = []
    look.look(find.find([str(kernel(79, 31, 63))]), catalogue(), look.Asked(), lambda *one: matches.append(one))
    assert [(line_no, signature.id) for _, line_no, signature, _ in matches] == [
        (1, "kmsg.xid"),
        (2, "kmsg.xid"),
        (3, "kmsg.xid"),
    ]


def test_the_report_names_the_code_and_what_to_do(kernel):
    (one,) = scanned(kernel(79)).incidents
    signature = look.signature(one.root)
    assert signature.title == "Xid 79 on GPU 0000:3b:00: GPU has fallen off the bus"
    assert signature.advice == "Drain the node and reboot it; a reset of the GPU is not enough."


@pytest.mark.parametrize(
    ("folder", "common"),
    [
        ("run/0", "run/#"),
        ("run/attempt_0/3", "run/attempt_0/#"),
        ("run/rank_12", "run/#"),
        ("run/node-3/local_rank0", "run/#/#"),
        ("jobs/4711023", "jobs/4711023"),
        ("jobs/train", "jobs/train"),
    ],
)
def test_directories_of_ranks_are_one_neighbourhood_and_those_of_jobs_are_not(folder, common):
    assert find.neighbourhood(folder) == common


def test_of_a_great_many_files_only_some_lines_are_kept_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(look, "_KEPT", 3000)
    line = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. " + "x" * 900
    for number in range(20):
        (tmp_path / f"{number}.log").write_text(f"above\n{line}\n")
    (one,) = scanned(tmp_path).incidents
    spots = [look.spot(each) for each in one.root.seen]
    assert (one.root.count, len(one.root.sources)) == (20, 20)
    assert (spots[0].before, spots[-1].before) == (("above",), ())
    assert sum(len(spot.line) for spot in spots) < 4 * 1000 + 20 * 400


def test_counts_are_right_beyond_the_lines_that_are_kept(tmp_path):
    path = tmp_path / "a.log"
    nccl = "ncclSystemError: System call (e.g. socket, malloc) or external library call failed or device error."
    path.write_text(f"CUDA error: out of memory\n{nccl}\n" * 500)
    (one,) = scanned(path).incidents
    assert (one.root.count, [each.count for each in one.cascades]) == (500, [500])
