"""What a runbook's `signatures:` are: what travels to a host, and what a failed attempt is held against."""

import pytest

from runbook.engine.detect import errors
from runbook.engine.errors import RenderError
from runbook.engine.language import chosen, load, render, signature_files
from runbook.engine.language.scope import Scope
from runbook.modules import values
from runbook.modules.logs import catalogued
from runbook.modules.probes.error import Error
from runbook.modules.probes.log import Log


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """Nobody's own signatures but the test's."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(signature_files, "SITE", tmp_path / "etc")
    return tmp_path / "config/runbook/signatures"


def travelled(*globs):
    return chosen.resolved(Log, {"paths": ("/x",), "signatures": globs}).get(catalogued.PARAMETER)


def test_the_patterns_that_are_meant_travel_and_no_others():
    patterns = catalogued.patterns(travelled("kmsg.oom_*"))
    assert {pattern.name for pattern in patterns} >= {"kmsg.oom_kill", "kmsg.oom_context"}
    assert all(pattern.name.startswith("kmsg.oom_") for pattern in patterns)
    assert {pattern.event for pattern in patterns} >= {"oom"}


def test_the_table_of_codes_travels_with_signatures_of_the_driver_only():
    table = travelled("kmsg.xid")["xid"]
    assert table["79"] == {"action": "reboot"}
    assert table["48"] == {"action": "reset", "with": {"94": "app", "95": "reset", "64": "vendor"}}
    assert "xid" not in travelled("cuda.oom")
    assert "xid" not in travelled("kmsg.sxid")


def test_what_travels_is_what_the_probe_is_made_of():
    import json

    params = json.loads(json.dumps(chosen.resolved(Log, {"paths": ["/x"], "signatures": ["kmsg.xid"]})))
    assert values.build(Log, params).signatures == ("kmsg.xid",)


def test_a_module_without_such_a_parameter_is_left_alone():
    assert chosen.resolved(Error, {"signatures": ("cuda.*",)}) == {"signatures": ("cuda.*",)}
    assert chosen.resolved(Log, {"paths": ("/x",)}) == {"paths": ("/x",)}


def test_a_name_that_means_nothing_is_an_error_that_a_look_can_tell():
    with pytest.raises(RenderError, match=r"there is no signature `cuda.oon`") as caught:
        travelled("cuda.oon")
    assert caught.value.mend == "did you mean cuda.oom?"


def test_a_catalogue_that_went_bad_meanwhile_is_an_error_with_its_place(own):
    own.mkdir(parents=True)
    (own / "bad.yaml").write_text("signatures:\n  - {id: cuda.oom, severity: bad}\n")
    with pytest.raises(RenderError, match=r"bad.yaml:2:\d+: 'bad' is none of low"):
        travelled("cuda.oom")


def loaded(tmp_path, parameters):
    path = tmp_path / "r.yaml"
    path.write_text(f"name: r\ndetectors:\n  - {{name: d, {parameters}}}\n", encoding="utf-8")
    runbook = load.load(path)
    return runbook, runbook.detectors[0]


def test_a_template_may_stand_among_the_names(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(
        'name: r\nvars: {area: cuda}\ndetectors:\n  - {name: d, log: {paths: [/x], signatures: ["{{ area }}.oom"]}}\n'
    )
    runbook = load.load(path)
    params = render.probe("log", runbook.detectors[0].params, Scope(runbook))
    assert {pattern.name for pattern in catalogued.patterns(params[catalogued.PARAMETER])} == {"cuda.oom"}


def failure(message, **more):
    fields = {"operation": "x", "message": message, "exit_code": 1, "signal": None, "output": "", "attempt": 1}
    return {**fields, "signature": None, "role": None, **more}


def test_a_failed_attempt_is_told_with_its_signature_and_groups(tmp_path):
    _, detector = loaded(tmp_path, "error: {signatures: [cuda.*, nccl.*]}")
    fields = failure("RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB")
    assert errors.matches(detector, fields)
    told = errors.told(detector, fields)
    assert (told["signature"], told["role"], told["size"]) == ("cuda.oom", "root", "2.00 GiB")
    assert told["operation"] == "x"


def test_a_root_names_a_failure_before_what_follows_from_it(tmp_path):
    _, detector = loaded(tmp_path, "error: {signatures: [nccl.watchdog, cuda.oom]}")
    watchdog = (
        "[Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=81, OpType=ALLREDUCE, "
        "Timeout(ms)=600000) ran for 600081 milliseconds before timing out."
    )
    both = failure("failed", output=f"{watchdog}\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1 GiB")
    assert errors.told(detector, both)["signature"] == "cuda.oom"
    assert errors.told(detector, failure(watchdog))["signature"] == "nccl.watchdog"


def test_ones_own_pattern_and_exit_code_name_no_signature(tmp_path):
    _, detector = loaded(tmp_path, "error: {patterns: 'disk (?P<disk>[0-9]+)', exit_codes: 9, signatures: cuda.oom}")
    told = errors.told(detector, failure("disk 7 is full"))
    assert (told["disk"], told["signature"], told["size"]) == (7, None, None)
    assert errors.matches(detector, failure("whatever", exit_code=9))
    assert errors.told(detector, failure("CUDA out of memory. Tried", exit_code=9))["signature"] is None
    assert not errors.matches(detector, failure("innocent"))


def test_a_detector_of_errors_without_parameters_matches_every_failure(tmp_path):
    _, detector = loaded(tmp_path, "error: null")
    assert errors.matches(detector, failure("anything"))


def test_signatures_of_advice_match_no_failure_and_do_not_widen_the_detector(own, tmp_path):
    own.mkdir(parents=True)
    (own / "hint.yaml").write_text(
        "signatures:\n"
        "  - {id: site.hint, title: a hint, pattern: set X=1, severity: low, category: unknown, role: advice}\n"
    )
    _, detector = loaded(tmp_path, "error: {signatures: [site.*]}")
    assert not errors.matches(detector, failure("please set X=1"))
