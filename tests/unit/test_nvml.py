"""What of the reading of GPUs needs no driver."""

import pytest

from runbook.modules import nvml, nvml_questions


@pytest.mark.parametrize(
    "written",
    ["0000:3b:00", "PCI:0000:3b:00", "00000000:3B:00.0", "0000:3B:00.0", "3b:00.0", "(PCI:0000:3b:00)"],
)
def test_a_pci_address_has_one_form_however_it_is_written(written):
    assert nvml.address(written) == "0000:3b:00"


@pytest.mark.parametrize("written", ["", "GPU-8a56a4bc", "unknown", "::"])
def test_what_is_no_pci_address_is_none(written):
    assert nvml.address(written) is None


def test_only_nvidia_s_display_controllers_are_gpus(tmp_path):
    for name, vendor, kind in (
        ("0000:3b:00.0", "0x10de", "0x030200"),
        ("0000:3b:00.1", "0x10de", "0x040300"),  # its sound
        ("0000:00:02.0", "0x8086", "0x030000"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / name / "class").write_text(f"{kind}\n")
    (tmp_path / "odd").mkdir()
    assert nvml.cards(str(tmp_path)) == 1
    assert nvml.cards(str(tmp_path / "none")) == 0


def test_throttle_reasons_have_names_and_idling_is_none():
    assert nvml_questions.throttles(0x1) == ()
    assert nvml_questions.throttles(0x48 | 0x1) == ("hw_slowdown", "hw_thermal_slowdown")
    assert nvml_questions.throttles(0x804) == ("sw_power_cap", "unknown_0x800")


def test_a_gpu_that_says_nothing_sits_where_no_other_does(tmp_path):
    for name in ("0000:3b:00.0", "0000:86:00.0", "0000:af:00.0"):
        (tmp_path / name).mkdir()
    readings = [{"index": 0, "pci": "0000:3b:00"}, {"index": 1}, {"index": 2, "pci": "0000:af:00"}]
    nvml._locate(readings, str(tmp_path))
    assert readings[1] == {"index": 1, "pci": "0000:86:00"}


def test_where_it_sits_is_not_guessed(tmp_path):
    for name in ("0000:3b:00.0", "0000:86:00.0", "0000:af:00.0"):
        (tmp_path / name).mkdir()
    readings = [{"index": 0, "pci": "0000:3b:00"}, {"index": 1}]
    nvml._locate(readings, str(tmp_path))
    assert readings[1] == {"index": 1}
