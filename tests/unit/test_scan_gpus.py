"""What a scan says of GPUs: each by itself, by the driver's own verdict first, with what to do about it."""

import pytest

from runbook.engine.language.signatures import catalogue
from runbook.engine.report import crash_document
from runbook.engine.report.crash import CrashText
from runbook.engine.report.paint import Paint
from runbook.engine.scan import find, look

XID = "2026-11-22T{:02d}:{:02d}:{:02d}+00:00 n1 kernel: NVRM: Xid (PCI:{}): {}, pid=4711, name=python3, {}\n"
CHANGED = "GPU recovery action changed from 0x0 (None) to 0x{:x} (Whatever It Says)"
ONE, OTHER = "0000:3b:00", "0000:5e:00"


@pytest.fixture
def scan(tmp_path):
    def run(*lines, name="kern.log"):
        """Scan lines of (seconds, GPU, code) or (seconds, GPU, 154, number)."""
        text = "".join(
            line
            if isinstance(line, str)
            else XID.format(
                line[0] // 3600,
                line[0] // 60 % 60,
                line[0] % 60,
                *line[1:3],
                CHANGED.format(line[3]) if line[3:] else "x",
            )
            for line in lines
        )
        path = tmp_path / name
        path.write_text(text)
        return look.look(find.find([str(path)]), catalogue(), look.Asked())

    return run


def told(scanned):
    """Return each incident as (code, GPU, severity, action, folded codes)."""
    return [
        (
            one.root.first.variant or one.root.sign.id,
            one.root.first.device,
            one.worst.value,
            look.needs(one)[0],
            [each.first.variant or each.sign.id for each in one.cascades],
        )
        for one in scanned.incidents
    ]


def text(scanned, verbosity=0):
    return "\n".join(CrashText(Paint(columns=160), verbosity=verbosity).lines(scanned, {}))


@pytest.mark.parametrize(
    ("number", "severity", "action", "advice"),
    [
        (1, "high", "reset", "nvidia-smi -r -i 0000:3b:00.0"),
        (2, "critical", "reboot", "Drain the node and reboot it"),
        (3, "medium", "app", "End what uses peer-to-peer transfers"),
        (4, "high", "reset", "Give the node no new work"),
        (9, "critical", "vendor", "this number is not known"),
    ],
)
def test_the_drivers_verdict_alone_gives_the_advice_of_its_number(scan, number, severity, action, advice):
    scanned = scan((0, ONE, 154, number))
    assert told(scanned) == [("kmsg.xid154", ONE, severity, action, [])]
    assert advice in look.needs(scanned.incidents[0])[1]


def test_a_verdict_that_nothing_is_needed_is_nothing(scan):
    assert told(scan((0, ONE, 154, 0))) == []


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_drivers_verdict_beside_an_xid_decides_what_that_calls_for(scan, order):
    lines = [(order[0], ONE, 31), (order[1], ONE, 154, 2)]
    scanned = scan(*sorted(lines))
    assert told(scanned) == [("31", ONE, "critical", "reboot", ["kmsg.xid154"])]
    assert "Drain the node and reboot it" in look.needs(scanned.incidents[0])[1]
    assert "The driver asks for a reboot of the node" in look.signature(scanned.incidents[0].root).meaning


def test_a_verdict_of_another_gpu_or_another_hour_decides_nothing(scan):
    assert told(scan((0, ONE, 31), (1, OTHER, 154, 2))) == [
        ("kmsg.xid154", OTHER, "critical", "reboot", []),
        ("31", ONE, "medium", "app", []),
    ]
    assert told(scan((0, ONE, 31), (7300, ONE, 154, 2)))[-1] == ("31", ONE, "medium", "app", [])


def test_a_verdict_that_all_is_well_again_takes_nothing_back(scan):
    assert told(scan((0, ONE, 79), (60, ONE, 154, 0))) == [("79", ONE, "critical", "reboot", [])]


def test_the_users_word_goes_before_the_drivers(tmp_path):
    ours = tmp_path / "ours.yaml"
    ours.write_text("xid:\n  31: {action: ignore}\n  63: {action: ignore}\n")
    log = tmp_path / "kern.log"
    log.write_text(XID.format(0, 0, 0, ONE, 31, "x") + XID.format(0, 0, 1, ONE, 154, CHANGED.format(2)))
    found = look.look(find.find([str(log)]), catalogue([str(ours)]), look.Asked())
    assert [each[0] for each in told(found)] == ["kmsg.xid154"]
    log.write_text(XID.format(0, 0, 0, ONE, 63, "x"))
    assert told(look.look(find.find([str(log)]), catalogue([str(ours)]), look.Asked())) == []


def test_one_trouble_of_three_gpus_is_three_incidents(scan):
    gpus = ["0000:86:00", "0000:af:00", "0000:d8:00"]
    scanned = scan(*((at, gpu, 79) for at, gpu in enumerate(gpus)))
    assert [(code, gpu) for code, gpu, *_ in told(scanned)] == [("79", gpu) for gpu in gpus]
    document = crash_document.document(scanned, {})
    assert [one["gpu"] for one in document["incidents"]] == gpus
    shown, brief = text(scanned), text(scanned, -1).splitlines()
    for number, gpu in enumerate(gpus):
        assert f"Xid 79 on GPU {gpu}: GPU has fallen off the bus" in shown
        assert f"kmsg.xid: Xid 79 on GPU {gpu}: " in brief[number]
    assert shown.count("The GPU does not answer on PCIe any more") == 1
    assert shown.count("Drain the node and reboot it") == 1
    assert shown.count("  do      the same") == 2


def test_every_gpu_of_a_storm_is_named_with_its_own_count_and_times(scan):
    first, second, third = "0000:1b:00", "0000:43:00", "0000:df:00"
    storm = [(at, second if at % 3 else first, 79) for at in range(3000)]
    storm[1500] = (1500, third, 79)  # once, in the middle
    found = {one.root.first.device: one.root for one in scan(*storm).incidents}
    assert {gpu: root.count for gpu, root in found.items()} == {first: 999, second: 2000, third: 1}
    times = {gpu: (root.first.time % 3600, root.last.time % 3600) for gpu, root in found.items()}
    assert times == {first: (0, 2997), second: (1, 2999), third: (1500, 1500)}


def test_the_same_address_in_two_hosts_is_two_gpus(scan):
    other = XID.format(0, 0, 9, ONE, 79, "x").replace(" n1 ", " n2 ")
    scanned = scan((0, ONE, 79), other)
    assert [one.root.first.device for one in scanned.incidents] == [f"n1 {ONE}", f"n2 {ONE}"]
    assert f"Xid 79 on GPU {ONE} of n2: GPU has fallen off the bus" in text(scanned)
    whose = [(one["gpu"], one["host"]) for one in crash_document.document(scanned, {})["incidents"]]
    assert whose == [(ONE, "n1"), (ONE, "n2")]


def test_a_host_that_one_line_names_and_another_does_not_is_one(scan):
    bare = f"[  12.5] NVRM: Xid (PCI:{ONE}): 79, pid=1, name=x, y\n"
    assert [device for _, device, *_ in told(scan((0, ONE, 79), bare))] == [ONE]


def test_one_gpu_is_one_incident_however_its_address_is_written(scan):
    assert told(scan((0, ONE, 79), (1, "0000:3B:00", 79), (2, "00000000:3b:00.0", 79)))[0][:2] == ("79", ONE)
    assert len(told(scan((0, ONE, 79), (1, "0000:3B:00", 79)))) == 1


def test_an_xid_folds_under_none_of_another_gpu(scan):
    assert told(scan((0, ONE, 95), (1, OTHER, 31))) == [
        ("95", ONE, "high", "reset", []),
        ("31", OTHER, "medium", "app", []),
    ]
    assert told(scan((0, ONE, 79), (1, ONE, 31)))[0][-1] == ["31"]


def test_what_gpus_report_folds_under_their_switch(scan):
    switch = "2026-11-22T00:00:00+00:00 n1 kernel: nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 20034, Fatal, Link 30\n"
    scanned = scan(switch, (1, ONE, 74), (1, OTHER, 74))
    assert told(scanned) == [("kmsg.sxid", "", "critical", "reboot", ["74", "74"])]
    (incident,) = crash_document.document(scanned, {})["incidents"]
    assert [one["gpu"] for one in incident["cascades"]] == [ONE, OTHER]


def test_the_gravest_of_a_gpu_says_what_to_do_under_a_lesser_root(scan):
    switch = "2026-11-22T00:00:00+00:00 n1 kernel: nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 20034, Fatal, Link 30\n"
    (one,) = scan(switch, (1, ONE, 142)).incidents  # 142 is the vendor's
    action, advice = look.needs(one)
    assert action == "vendor"
    assert advice.startswith("Fatal: drain")
    assert f"Xid 142 on GPU {ONE}" in advice


def test_a_row_that_waits_for_its_replacement_is_an_incident(scan):
    scanned = scan((0, ONE, 63))
    assert told(scanned) == [("63", ONE, "medium", "ignore", [])]
    assert look.needs(scanned.incidents[0])[1].startswith("Once nothing uses the GPU, reset it (`nvidia-smi -r -i")


def test_what_a_code_means_is_said_in_words(scan):
    for code, words in ((79, "does not answer on PCIe"), (48, "ECC can't correct"), (119, "firmware (GSP)")):
        (one,) = scan((0, ONE, code)).incidents
        told = look.signature(one.root)
        assert words in told.meaning
        assert "This GPU needs a re" in told.meaning
        assert told.title.partition(": ")[2] not in told.meaning


def test_a_link_error_that_is_not_fatal_is_nothing(scan):
    line = (
        "2026-11-22T00:00:00+00:00 n1 kernel: NVRM: Xid (PCI:0000:3b:00): 145, RLW_RXPIPE {} XC0 i0 Link 13 "
        "(0x0409a0c2 0x00000008 0x00000001 0x0 0x00100000 0x4)\n"
    )
    assert told(scan(line.format("Nonfatal"))) == []
    assert told(scan(line.format("Fatal"))) == [("145", ONE, "high", "reset", [])]
