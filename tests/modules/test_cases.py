import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import case as golden
import pytest

from runbook.engine.fleet import layers, pack, packages
from runbook.engine.language import chosen
from runbook.engine.language import params as parameters
from runbook.modules import catalogue

ROOT = Path(__file__).parents[2]
ALONE = "import runpy, sys; sys.path[:0] = sys.argv[1:]; runpy.run_path(sys.argv[2] + '/case.py', run_name='__main__')"
KINDS = ("steps", "probes")
CASES = [case for kind in KINDS for case in golden.load(kind)]
MODULES = [("steps", name) for name in catalogue.step_names()] + [("probes", name) for name in catalogue.probe_names()]


def module_class(kind, name):
    return catalogue.step(name) if kind == "steps" else catalogue.probe(name)


def typed_parameters(case, raw):
    cls = module_class(case.kind, case.module)
    return chosen.resolved(cls, parameters.coerce(cls, parameters.spread(cls, raw)))


def lacking(why):
    """Skip on a laptop; a machine that judges for all must have what the tests need."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_module_does_what_its_case_says(case, tmp):
    if golden.lacks(case):
        lacking(golden.lacks(case))
    raw, host = golden.prepare(case, tmp)
    try:
        typed = typed_parameters(case, raw)
    except ValueError as error:
        golden.invalid(case, tmp, error)
    else:
        golden.judge(case, typed, host, tmp)


def test_no_two_cases_of_a_module_share_a_name():
    names = [case.name for case in CASES]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(("kind", "name"), MODULES)
def test_every_module_has_cases(kind, name):
    assert any(case.kind == kind and case.module == name for case in CASES), f"write tests/modules/{kind}/{name}.yaml"


def test_every_file_of_cases_is_named_after_a_module():
    assert {(case.kind, case.module) for case in CASES} <= set(MODULES)


@pytest.mark.parametrize(("kind", "name"), MODULES)
def test_every_parameter_is_used_by_a_case(kind, name):
    cls = module_class(kind, name)
    fields = set(parameters.fields(cls))
    own = [case for case in CASES if (case.kind, case.module) == (kind, name)]
    used = {key for case in own for key in parameters.spread(cls, case.body.get("params"))}
    assert not fields - used, f"no case of {name} gives {sorted(fields - used)}"


@pytest.mark.parametrize(("kind", "name"), MODULES)
def test_every_module_shows_an_example_that_loads(kind, name):
    import yaml

    cls = module_class(kind, name)
    _head, marker, example = (cls.__doc__ or "").partition("Example:\n")
    assert marker, f"the docstring of {cls.__name__} has no `Example:`"
    items = yaml.safe_load(example)
    assert isinstance(items, list)
    for item in items:
        assert name in item, f"an example of {name} without its key"
        if "{{" not in json.dumps(item[name]):
            parameters.build(cls, parameters.spread(cls, item[name]), rendered=False)


def old_interpreter():
    """The oldest Python from 3.9 to 3.10 that is here, as hosts have it."""
    found = {}
    places = [*os.environ.get("PATH", "").split(os.pathsep), *map(str, Path.home().glob(".pyenv/versions/3.*/bin"))]
    for name in ("python3.9", "python3.10"):
        for place in places:
            program = shutil.which(name, path=place)
            if program and runs(program, name):
                found.setdefault(name, program)
    return next((found[name] for name in sorted(found, key=lambda name: int(name[8:]))), None)


def runs(program, name):
    """Tell a real interpreter from a shim of one that is not installed."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False)
    return done.returncode == 0 and re.match(rf"Python {re.escape(name[6:])}\.", done.stdout) is not None


def test_every_case_holds_under_the_oldest_python_of_a_host(tmp):
    old = old_interpreter()
    given = []
    for number, case in enumerate(CASES):
        place = f"{tmp}/{number}"
        try:
            typed = typed_parameters(case, golden.fill(case.body.get("params"), place))
        except ValueError:
            continue  # never reaches a host
        given.append({"kind": case.kind, "module": case.module, "body": case.body, "params": typed, "tmp": place})
    done = subprocess.run(
        [
            old or sys.executable,
            "-I",
            "-S",
            "-B",
            "-W",
            "error",
            "-c",
            ALONE,
            travelling(tmp),
            str(ROOT / "tests/modules"),
        ],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert not said["wrong"], f"under Python {said['version']}:\n" + "\n".join(said["wrong"])
    if old is None:
        lacking(f"only Python {said['version']} is here; install 3.9 or 3.10 to see that modules run on such hosts")


def travelling(tmp):
    """A folder with what an agent on a host has: the pack, what travels with it and for it; and the judge of cases."""
    import psutil
    import pynvml

    place = Path(tmp) / "travelling"
    needed = sorted({entry for kind, name in MODULES for entry in module_class(kind, name).needs})
    for files in (pack.contents(), *(layers._made[layer.digest] for layer in packages.travelling(needed))):
        for name, content in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
    (place / "psutil").symlink_to(Path(psutil.__file__).parent)
    (place / "pynvml.py").symlink_to(pynvml.__file__)
    shutil.copytree(ROOT / "modules/golden", place / "runbook/modules/golden", ignore=shutil.ignore_patterns("*.pyc"))
    return str(place)
