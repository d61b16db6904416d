"""The probe `gpu` through pynvml, against an NVML library that says what a test wants."""

from __future__ import annotations

import os
import time

import fake_gpus
import pytest

from runbook.engine.fleet import Spec, local
from runbook.engine.model import UNKNOWN, Lacking, NotSeen, Seen


@pytest.fixture(scope="module")
def gpus(nvml, tmp_path_factory):
    """The GPUs of all tests here, which say anew how they do."""
    return fake_gpus.Gpus(nvml, tmp_path_factory.mktemp("gpus"))


@pytest.fixture(scope="module")
def old_gpus(old_nvml, tmp_path_factory):
    return fake_gpus.Gpus(old_nvml, tmp_path_factory.mktemp("old"))


@pytest.fixture(scope="module")
def look(tmp_path_factory):
    """Look as the engine does: in an agent that has the library on its path."""
    agents = {}

    def ask(environ, deadline=30.0, state=None, **params):
        place = environ["LD_LIBRARY_PATH"]
        if place not in agents:
            with pytest.MonkeyPatch.context() as patch:
                for name, value in environ.items():
                    patch.setenv(name, value)
                agents[place] = local.connect(tmp_path_factory.mktemp("agent"))
        return agents[place].probe([Spec("gpu", "gpu", params, state or {}, deadline)])["gpu"]

    yield ask
    for agent in agents.values():
        agent.close()


def fields(found):
    assert isinstance(found, Seen), found
    return [record.fields for record in found.records]


def test_a_gpu_that_is_well_tells_everything(gpus, look):
    gpus.tell(1, gpu0__processes=f"{os.getpid()}:1024,4000000:7", gpu0__throttle=0x44, gpu0__memory_reserved=1 << 30)
    found = look(gpus.environ)
    [record] = fields(found)
    assert [one.subject for one in found.records] == ["0"]
    with open("/proc/self/comm", encoding="utf-8") as file:  # noqa: PTH123
        ours = file.read().strip()
    assert record == {
        "index": 0, "uuid": "GPU-0", "name": "NVIDIA H100 80GB HBM3", "pci": "0000:3b:00", "temperature": 41.0,
        "slowdown_margin": 46.0, "memory_total": 80 << 30, "memory_used": 1 << 30, "memory_used_percent": 1.25,
        "utilization": 97.0, "power": 350.5, "power_limit": 700.0, "ecc_uncorrected": 0, "remap_pending": False,
        "remap_failed": False, "throttle": ["sw_power_cap", "hw_thermal_slowdown"], "mig": False,
        "recovery_action": "NONE", "action": "none", "lost": False, "error": "",
        "processes": [{"pid": os.getpid(), "name": ours, "memory": 1024}, {"pid": 4000000, "name": "", "memory": 7}],
    }  # fmt: skip


def test_an_old_driver_is_asked_by_its_own_calls(old_gpus, look):
    old_gpus.tell(1, gpu0__processes="41:1024", gpu0__throttle=0x24, gpu0__temperature=90)
    [record] = fields(look(old_gpus.environ))
    assert record["slowdown_margin"] == -3
    assert record["memory_used"] == 1 << 30
    assert record["throttle"] == ["sw_power_cap", "sw_thermal_slowdown"]
    assert [one["pid"] for one in record["processes"]] == [41]
    assert record["recovery_action"] is UNKNOWN
    assert record["action"] == "none"


def test_an_old_driver_s_counters_take_the_place_of_its_verdict(old_gpus, look):
    old_gpus.tell(3, gpu0__remap_pending=1, gpu1__remap_failed=1, gpu2__ecc=2)
    assert [record["action"] for record in fields(look(old_gpus.environ))] == ["reboot", "vendor", "reset"]


@pytest.mark.parametrize(
    ("number", "name", "action"),
    [
        (0, "NONE", "none"), (1, "GPU_RESET", "reset"), (2, "NODE_REBOOT", "reboot"), (3, "DRAIN_P2P", "app"),
        (4, "DRAIN_AND_RESET", "reset"), (5, "RECOVER_IMEX_DOMAIN", "drain"), (6, "BUS_RESET", "reboot"),
        (7, "SYSTEM_REBOOT", "reboot"), (8, "UNKNOWN", "drain"), (4294967295, "UNKNOWN", "drain"),
    ],
)  # fmt: skip
def test_the_driver_s_verdict_goes_by_its_number(gpus, look, number, name, action):
    gpus.tell(1, gpu0__recovery=number)
    [record] = fields(look(gpus.environ))
    assert (record["recovery_action"], record["action"]) == (name, action)


@pytest.mark.parametrize(("field", "name"), [("reset_status", "GPU_RESET"), ("drain_status", "DRAIN_AND_RESET")])
def test_a_driver_before_r570_says_it_in_its_own_fields(gpus, look, field, name):
    gpus.tell(1, **{"gpu0__recovery.error": 3, f"gpu0__{field}": 1})
    [record] = fields(look(gpus.environ))
    assert (record["recovery_action"], record["action"]) == (name, "reset")


@pytest.mark.parametrize(
    ("told", "lost", "action", "part"),
    [
        ({"gpu1__error": 15}, True, "reboot", "fell off the bus"),
        ({"gpu1__handle": 15}, True, "reboot", "fell off the bus"),
        ({"gpu1__handle": 999}, True, "reboot", "does not say why"),
        ({"gpu1__handle": 8}, True, "vendor", "power cables"),
        ({"gpu1__handle": 11}, True, "reboot", "interrupts"),
        ({"gpu1__handle": 16}, False, "reset", "must be reset"),
        ({"gpu1__error": 16}, False, "reset", "must be reset"),
        ({"gpu1__handle": 4}, UNKNOWN, UNKNOWN, "become: true"),
        ({"gpu1__temperature.error": 10}, False, "none", "did not answer in time"),
        ({"gpu1__ecc.error": 14}, False, "none", "infoROM"),
        ({"gpu1__power.error": 77}, False, "none", "NVML error 77"),
        ({"gpu1__power.error": 3}, False, "none", ""),
    ],
)
def test_every_error_of_one_gpu_is_a_value_and_the_others_answer(gpus, look, told, lost, action, part):
    gpus.tell(2, **told)
    well, ill = fields(look(gpus.environ))
    assert (well["temperature"], well["lost"], well["action"], well["error"]) == (41, False, "none", "")
    assert (ill["lost"], ill["action"], part in ill["error"]) == (lost, action, True)
    if not part:
        assert (ill["error"], ill["power"], ill["power_limit"]) == ("", UNKNOWN, 700)


def test_a_gpu_without_ecc_remapping_and_mig_has_none(gpus, look):
    gpus.tell(
        1, **{f"gpu0__{name}.error": 3 for name in ("ecc", "remap_pending", "mig", "margin", "slowdown", "utilization")}
    )
    [record] = fields(look(gpus.environ))
    assert (record["ecc_uncorrected"], record["remap_pending"], record["remap_failed"], record["mig"]) == (
        0,
        False,
        False,
        False,
    )
    assert (record["slowdown_margin"], record["utilization"]) == (UNKNOWN, UNKNOWN)


def test_mig_and_new_throttle_reasons_are_told(gpus, look):
    gpus.tell(1, gpu0__mig=1, gpu0__throttle=1 << 40 | 1)
    [record] = fields(look(gpus.environ))
    assert (record["mig"], record["throttle"]) == (True, ["unknown_0x10000000000"])


def test_a_missing_gpu_is_named_by_what_was_seen_of_it(gpus, look):
    gpus.tell(2)
    first = look(gpus.environ, expected=2)
    gpus.tell(1)
    well, missing = fields(look(gpus.environ, state=first.state, expected=2))
    assert (well["index"], well["lost"]) == (0, False)
    assert (missing["index"], missing["uuid"], missing["pci"], missing["lost"]) == (1, "GPU-1", "0000:3c:00", True)


def test_no_library_is_no_fault_unless_gpus_are_expected(tmp_path, look):
    nowhere = {"LD_LIBRARY_PATH": str(tmp_path)}
    assert look(nowhere) == Lacking("no NVIDIA driver is installed here: there is no libnvidia-ml.so.1")
    found = fields(look(nowhere, expected=8))
    assert [(one["index"], one["lost"], one["action"]) for one in found] == [
        (index, True, "update") for index in range(8)
    ]


@pytest.mark.parametrize(
    ("code", "part"),
    [
        (18, "is another version than its library"),
        (4, "may not ask it"),
        (17, "the operating system blocks the question"),
        (999, "the driver can't reach it"),
        (20, "Insufficient Memory (NVML error 20)"),
    ],
)
def test_a_driver_that_can_t_be_asked_is_unknown_with_advice(gpus, look, code, part):
    gpus.tell(2, init=code)
    found = look(gpus.environ, expected=2)
    assert isinstance(found, NotSeen)
    assert part in found.reason


def test_a_count_that_fails_is_unknown(gpus, look):
    gpus.tell(2, **{"count.error": 999})
    assert look(gpus.environ).reason.startswith("the NVIDIA driver can't say how many GPUs there are")


def test_a_driver_that_is_not_loaded_misses_the_expected(gpus, look):
    gpus.tell(None)
    found = fields(look(gpus.environ, expected=2))
    assert [(one["lost"], "not loaded" in one["error"]) for one in found] == [(True, True)] * 2


def test_a_driver_that_hangs_is_cut_off_by_the_deadline_and_heals(gpus, look):
    gpus.tell(2, gpu1__hang=1)
    began = time.monotonic()
    assert look(gpus.environ, deadline=1.0) == NotSeen("the look did not end within 1 s")
    assert time.monotonic() - began < 10
    gpus.tell(2)
    assert len(fields(look(gpus.environ))) == 2
