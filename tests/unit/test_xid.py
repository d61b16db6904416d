"""What lines of the NVIDIA driver call for: the user's word, the driver's verdict, the table; and whom they are about."""

import pytest

from runbook.engine.language import signatures
from runbook.engine.language.chosen import resolved
from runbook.modules import xid
from runbook.modules.logs.catalogued import PARAMETER
from runbook.modules.probes.log import Log

NOW = 1_800_000_000.0
HERE = {"0000:91:00": {"index": 3, "pci": "0000:91:00"}, "0000:3b:00": {"index": 0, "pci": "0000:3b:00"}}


@pytest.fixture(scope="module")
def travelled():
    return resolved(Log, {"paths": ("/x",), "signatures": ("kmsg.xid",)})[PARAMETER]


def line(code, rest="pid='<unknown>', name=<unknown>, x", pci="0000:91:00", time=NOW, **groups):
    text = f"[  12.3] NVRM: Xid (PCI:{pci}): {code}, {rest}"
    return {"line": text, "time": time, "signature": "kmsg.xid", "gpu": None, "job": None, "action": None, **groups}


def settled(travelled, *events, gpus=HERE, jobs=None):
    xid.settle(events, travelled, NOW, lambda: gpus, lambda pid, at: (jobs or {}).get(pid))
    return list(events)


def actions(travelled, *events, **more):
    return [event["action"] for event in settled(travelled, *events, **more)]


@pytest.mark.parametrize(
    ("code", "action"),
    [(13, "app"), (31, "app"), (63, "ignore"), (79, "reboot"), (119, "reset"), (54, "vendor"), (78, "update")],
)
def test_a_code_calls_for_what_the_table_says(travelled, code, action):
    assert actions(travelled, line(code)) == [action]


def test_a_code_that_is_in_no_table_is_the_supports(travelled):
    assert actions(travelled, line(999)) == ["vendor"]


def test_the_gpu_is_told_by_its_index(travelled):
    [found] = settled(travelled, line(79))
    assert found["gpu"] == 3


@pytest.mark.parametrize("written", ["00000000:3B:00.0", "0000:3b:00", "0000:3b:00 GPU-I:05"])
def test_an_address_is_the_same_however_it_is_written(travelled, written):
    [found] = settled(travelled, line(94, pci=written))
    assert (found["gpu"], found["action"]) == (0, "app")


def test_a_gpu_that_the_driver_does_not_know_keeps_its_address(travelled):
    [found] = settled(travelled, line(79), gpus={})
    assert (found["gpu"], found["action"]) == ("0000:91:00", "reboot")


def test_the_address_of_a_disk_is_no_gpu():
    disk = {"line": "nvme 0000:5e:00.0: AER: can't recover", "signature": "kmsg.pcie_aer", "pci": "0000:5e:00.0"}
    near = {"line": "pcieport 0000:3b:00.0: AER: x", "signature": "kmsg.pcie_aer", "pci": "0000:3b:00.0"}
    assert [found["gpu"] for found in settled({}, disk, near)] == [None, 0]


def test_a_storm_of_lines_is_settled_at_once(travelled):
    import time

    began = time.process_time()
    found = settled(travelled, *(line(13, f"pid={number % 7}, x") for number in range(20_000)), jobs={3: 33})
    assert time.process_time() - began < 5
    assert {event["job"] for event in found} == {None, 33}


@pytest.mark.parametrize(
    ("others", "action"),
    [((), "reset"), ((94,), "app"), ((95,), "reset"), ((64,), "vendor"), ((94, 95), "reset"), ((31,), "reset")],
)
def test_a_double_bit_error_is_decided_by_what_came_with_it(travelled, others, action):
    assert actions(travelled, line(48), *map(line, others))[0] == action


def test_another_gpus_codes_decide_nothing(travelled):
    assert actions(travelled, line(48), line(94, pci="0000:3b:00")) == ["reset", "app"]


def test_a_cleanup_follows_the_error_before_it_and_is_the_applications_alone(travelled):
    assert actions(travelled, line(45)) == ["app"]
    assert actions(travelled, line(119), line(45)) == ["reset", "ignore"]
    assert actions(travelled, line(45), line(45)) == ["app", "app"]


def test_nvlink5_errors_that_are_not_fatal_call_for_nothing(travelled):
    fatal, other = (
        f"RLW_RXPIPE {how} XC0 i0 Link 13 (0x0409a0c2 0x00000008 0x0 0x0 0x0 0x4)" for how in ("Fatal", "Nonfatal")
    )
    assert actions(travelled, line(145, fatal), line(145, other, pci="0000:3b:00")) == ["reset", "ignore"]


@pytest.mark.parametrize(
    ("code", "rest", "action"),
    [
        (145, "RLW_REMAP Nonfatal XC1 i0 Link 13 (0x00000082 0x00000004 0x0 0x0 0x0 0x0)", "app"),
        (145, "RLW_REMAP Nonfatal XC1 i0 Link 13 (0x00000082 0x00000100 0x0 0x0 0x0 0x0)", "ignore"),
        (145, "RLW_SRC_TRACK Nonfatal XC1 i0 Link 13 (0x000000e2 0x00000008 0x0 0x0 0x0 0x0)", "app"),
        (145, "RLW_SRC_TRACK Fatal XC1 i0 Link 13 (0x000000e2 0x00000010 0x0 0x0 0x0 0x0)", "reset"),
        (149, "NETIR_LINK_EVT Fatal XC0 i0 Link 04 (0x026005c6 0x00000000 0x0 0x0 0x0 0x0)", "ignore"),
        (149, "NETIR_LINK_EVT Fatal XC0 i0 Link 04 (0x028005c6 0x00000000 0x0 0x0 0x0 0x0)", "ignore"),
        (149, "NETIR_LINK_EVT Fatal XC0 i0 Link 04 (0x004005c6 0x00000000 0x0 0x0 0x0 0x0)", "reset"),
        (144, "SAW_MVB Fatal", "reset"),
        (145, "RLW_REMAP Nonfatal", "ignore"),
    ],
)
def test_an_nvlink5_error_is_decoded_as_nvidia_does(travelled, code, rest, action):
    assert actions(travelled, line(code, rest)) == [action]


def test_the_sub_code_of_an_nvlink5_error_is_six_bits_of_its_interrupt_information(travelled):
    [found] = settled(travelled, line(149, intr="0x0409a0c2"))
    assert found["subcode"] == (0x0409A0C2 >> 20) & 0x3F == 0
    [found] = settled(travelled, line(149, intr="0x02b00000"))
    assert found["subcode"] == 43


# the driver's own verdict


@pytest.mark.parametrize(
    ("number", "action"),
    [("0", "ignore"), ("1", "reset"), ("2", "reboot"), ("3", "app"), ("4", "reset"), ("9", "vendor")],
)
def test_xid_154_says_by_its_number_what_is_needed(travelled, number, action):
    rest = f"GPU recovery action changed from 0x0 (None) to 0x{number} (whatever it is called)"
    assert actions(travelled, line(154, rest)) == [action]


def test_xid_154_decides_the_other_codes_of_its_gpu(travelled):
    verdict = line(154, "GPU recovery action changed from 0x0 (None) to 0x2 (OS Reboot)")
    assert actions(travelled, line(63), verdict, line(13, pci="0000:3b:00")) == ["reboot", "reboot", "app"]


def verdict(word):
    return {"0000:91:00": {"index": 3, "recovery_action": word}}


@pytest.mark.parametrize(
    ("word", "code", "action"),
    [
        ("GPU_RESET", 63, "reset"),
        ("NODE_REBOOT", 13, "reboot"),
        ("DRAIN_AND_RESET", 94, "reset"),
        ("DRAIN_P2P", 119, "app"),
        ("NONE", 119, "app"),  # it needs none any more
        ("NONE", 63, "ignore"),
        ("NONE", 54, "vendor"),
        ("UNKNOWN", 119, "reset"),
    ],
)
def test_the_drivers_verdict_comes_before_the_table(travelled, word, code, action):
    assert actions(travelled, line(code, time=NOW - 60), gpus=verdict(word)) == [action]


def test_the_drivers_verdict_of_now_says_nothing_about_old_lines(travelled):
    assert actions(travelled, line(63, time=NOW - 3600), gpus=verdict("NODE_REBOOT")) == ["ignore"]
    assert actions(travelled, line(63, time=None), gpus=verdict("NODE_REBOOT")) == ["reboot"]


def test_what_the_user_wrote_comes_before_the_driver_and_before_the_table(travelled):
    ours = {**travelled, "xid": {**travelled["xid"], "63": {"action": "vendor", "ours": True}}}
    assert actions(ours, line(63)) == ["vendor"]
    assert actions(ours, line(63), gpus=verdict("NODE_REBOOT")) == ["vendor"]


def test_a_signatures_own_action_is_told_and_the_driver_may_know_better():
    given = {"actions": {"kmsg.fallen_off_bus": "reboot"}}
    event = {"line": "GPU has fallen off the bus", "signature": "kmsg.fallen_off_bus", "pci": "0000:91:00", "time": NOW}
    assert actions(given, dict(event)) == ["reboot"]
    assert actions(given, dict(event), gpus=verdict("GPU_RESET")) == ["reset"]


def test_without_an_xid_signature_no_code_is_looked_up():
    assert actions({}, line(79), gpus={}) == [None]


def test_the_driver_is_not_asked_where_no_line_names_a_gpu():
    def ask():
        raise AssertionError

    event = {"line": "CUDA out of memory", "signature": "cuda.oom", "time": NOW}
    xid.settle([event], {"patterns": []}, NOW, ask)
    assert event["action"] is None


def test_the_order_of_actions_is_that_of_the_gpu_probe_and_of_the_records():
    from typing import get_args

    from runbook.engine.language import params
    from runbook.modules.probes.gpu import Gpu

    gpu = [action for action in params.record_fields(Gpu)["action"].choices if action in xid.ORDER]
    assert tuple(gpu) == xid.ORDER == get_args(xid.Action) == params.record_fields(Log)["action"].choices
    assert xid.ORDER == signatures.ACTIONS


def test_that_a_gpu_needs_nothing_is_not_believed_before_the_driver_had_time_to_judge(travelled):
    times = [NOW - 3600, NOW - 60, NOW - 5, None]
    told = [actions(travelled, line(119, time=time), gpus=verdict("NONE")) for time in times]
    assert told == [["reset"], ["app"], ["reset"], ["reset"]]


# whose it is


def test_the_job_is_that_of_the_process_that_the_line_names(travelled):
    [found] = settled(travelled, line(31, "pid=4711, name=python3, x"), jobs={4711: 77})
    assert found["job"] == 77


@pytest.mark.parametrize("rest", ["pid='<unknown>', x", "pid=4712, x", "no pid"])
def test_there_is_no_job_where_the_process_is_not_known(travelled, rest):
    [found] = settled(travelled, line(31, rest), jobs={4711: 77})
    assert found["job"] is None


def test_the_job_of_an_oom_kill_is_that_of_the_cgroup():
    event = {"line": "oom-kill:…", "signature": "kmsg.oom_context", "task_memcg": "/slurm/uid_0/job_7/step_0", "pid": 1}
    [found] = settled({}, event, jobs={1: 99})
    assert found["job"] == 7


def test_what_a_group_tells_stays(travelled):
    [found] = settled(travelled, {**line(31, "pid=4711, x"), "gpu": 6, "job": 5}, jobs={4711: 77})
    assert (found["gpu"], found["job"]) == (6, 5)
