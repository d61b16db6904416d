"""What a module needs: pure packages travel with it, others must be there, and a step can run under another Python."""

import importlib
import os
import pathlib
import sys

import own_modules as own
import pytest

from runbook.engine.fleet import Spec, layers, local, packages
from runbook.engine.language import params
from runbook.engine.language.own import enlist
from runbook.engine.model import NotSeen, Order, Seen, StepStatus
from runbook.modules import catalogue


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A directory of the controller's path, in which packages are installed."""
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.syspath_prepend(str(place))
    packages._layer.cache_clear()
    yield place
    packages._layer.cache_clear()
    importlib.invalidate_caches()


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """A folder of modules, enlisted as the command line does it."""
    folder = tmp_path / "runbook_modules"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)

    def enlisted(noun, name, **more):
        own.write(folder, noun, name, **more)
        enlist.forget()
        assert not list(enlist.everything())

    yield enlisted
    enlist.forget()


@pytest.fixture
def old():
    """An interpreter of a host that has nothing of ours."""
    python = own.python39()
    if python is None and os.environ.get("CI") == "true":
        pytest.fail("no Python 3.9 is here")
    if python is None:
        pytest.skip("no Python 3.9 is here")
    return python


def order(tmp_path, name="raise_flag", **more):
    cls = catalogue.step(name)
    return Order(name, params.coerce(cls, {"path": str(tmp_path / "flag")}), timeout=30.0, **more)


def act(agent, tmp_path, intent="i1", **more):
    return agent.run(intent, order(tmp_path, **more), writable=[str(tmp_path)])


USES = "import purepkg\nself.__dict__['text'] = purepkg.word() + ' under %d.%d' % __import__('sys').version_info[:2]"
PURE = {"purepkg/__init__.py": "from puredep.inner import word\n", "purepkg/data.txt": "x"}
DEPENDENCY = {"puredep/__init__.py": "", "puredep/inner.py": "def word():\n    return 'carried'\n"}


def pure(site, **more):
    own.install(
        site, "purepkg", PURE, requires=["puredep>=1", "absent; python_version < '3'", "odd; extra == 'x'"], **more
    )
    own.install(site, "puredep", DEPENDENCY)


def test_a_pure_package_travels_with_all_that_it_requires(site, modules, old, tmp_path):
    pure(site)
    modules("step", "raise_flag", more='needs = ("purepkg",)', first=USES)
    with local.connect(tmp_path / "j", python=old) as agent:
        outcome = act(agent, tmp_path)
    assert outcome.status is StepStatus.DONE, outcome.error
    assert (tmp_path / "flag").read_text() == "carried under 3.9"


def test_it_travels_once_and_only_with_a_step_that_needs_it(site, modules, tmp_path, monkeypatch):
    pure(site)
    modules("step", "raise_flag", more='needs = ("purepkg",)', first="import purepkg")
    code = tmp_path / "j/agent/code"
    with local.connect(tmp_path / "j") as agent:
        assert agent.run("w", Order("command", {"argv": ("true",)})).status is StepStatus.DONE
        assert len(list(code.iterdir())) == 1
        assert act(agent, tmp_path).status is StepStatus.DONE
        assert len(list(code.iterdir())) == 3  # the agent's own, the user's, the package
        monkeypatch.setattr(layers, "message", lambda _: pytest.fail("sent again"))
        assert act(agent, tmp_path, "i2").status is StepStatus.DONE
    with local.connect(tmp_path / "j") as agent:
        assert act(agent, tmp_path, "i3").status is StepStatus.DONE


def test_a_compiled_package_does_not_travel_and_is_missing_where_it_is_not(site, modules, old, tmp_path):
    own.install(site, "fastpkg", {"fastpkg/__init__.py": "", "fastpkg/_speed.cpython-311.so": "x"}, pure=False)
    modules("step", "raise_flag", more='needs = ("fastpkg",)', first="import fastpkg")
    with local.connect(tmp_path / "j", python=old) as agent:
        outcome = act(agent, tmp_path)
    assert outcome.status is StepStatus.REFUSED
    assert f"missing on this host: fastpkg; install with `{old} -m pip install fastpkg`" in outcome.error


def test_a_package_that_requires_a_compiled_one_does_not_travel_either(site, modules, old, tmp_path):
    own.install(site, "slowpkg", {"slowpkg.py": ""}, requires=["fastpkg"])
    own.install(site, "fastpkg", {"fastpkg/__init__.py": "", "fastpkg/_speed.so": "x"})
    modules("step", "raise_flag", more='needs = ("slowpkg",)')
    with local.connect(tmp_path / "j", python=old) as agent:
        assert "pip install slowpkg" in act(agent, tmp_path).error


def test_a_package_that_asks_for_a_newer_python_is_told_so(site, modules, old, tmp_path):
    pure(site, python=">=3.10")
    modules("step", "raise_flag", more='needs = ("purepkg",)')
    with local.connect(tmp_path / "j", python=old) as agent:
        error = act(agent, tmp_path).error
    assert "the controller's purepkg asks for Python 3.10, and this is 3.9" in error


def test_what_the_controller_has_not_must_be_there(modules, tmp_path):
    modules("step", "raise_flag", more='needs = ("nowhere-to-be-found", "odd-name as json")', first="import json")
    with local.connect(tmp_path / "j") as agent:
        outcome = act(agent, tmp_path)
    assert outcome.status is StepStatus.REFUSED
    assert outcome.error.endswith("-m pip install nowhere-to-be-found`")
    assert not (tmp_path / "flag").exists()


def test_a_call_that_does_without_says_so(modules, tmp_path):
    needed = 'needs = ("nowhere-to-be-found",)\n\n    def needed(self):\n        return () if self.text == "up" else self.needs\n'
    modules("step", "raise_flag", more=needed)
    with local.connect(tmp_path / "j") as agent:
        assert act(agent, tmp_path).status is StepStatus.DONE


def test_a_probe_that_lacks_something_is_unknown(modules, tmp_path):
    modules("probe", "flag_length", more='needs = ("nowhere-to-be-found",)')
    with local.connect(tmp_path / "j") as agent:
        look = agent.probe([Spec("x", "flag_length", {"path": str(tmp_path)})])["x"]
    assert isinstance(look, NotSeen)
    assert "pip install nowhere-to-be-found" in look.reason


def test_a_probe_gets_its_packages_and_a_newer_version_of_itself(site, modules, old, tmp_path):
    pure(site)
    (tmp_path / "flag").write_text("abc")
    spec = Spec("x", "flag_length", {"path": str(tmp_path / "flag")})
    with local.connect(tmp_path / "j", python=old) as agent:
        modules("probe", "flag_length", more='needs = ("purepkg",)', first="import purepkg")
        first = agent.probe([spec])["x"]
        assert isinstance(first, Seen)
        assert first.records[0].fields["length"] == 3
        modules("probe", "flag_length", first="object.__setattr__(self, 'path', __file__)")
        second = agent.probe([spec])["x"]  # by the same worker, which has the older one imported
        assert isinstance(second, Seen)
        assert second.records[0].fields["length"] > 3


def test_the_real_yaml_and_toml_packages_reach_an_old_python(modules, old, tmp_path):
    pytest.importorskip("tomlkit")
    modules(
        "step",
        "raise_flag",
        more='needs = ("tomlkit",)',
        first="import tomlkit\nassert tomlkit.parse('a = 1')['a'] == 1",
    )
    with local.connect(tmp_path / "j", python=old) as agent:
        outcome = act(agent, tmp_path)
    assert outcome.status is StepStatus.DONE, outcome.error


def test_a_step_runs_under_the_python_that_it_names(modules, old, tmp_path):
    modules("step", "raise_flag", first="import sys\nobject.__setattr__(self, 'text', sys.executable)")
    with local.connect(tmp_path / "j") as agent:
        outcome = act(agent, tmp_path, python=old)
        assert outcome.status is StepStatus.DONE, outcome.error
        assert os.path.realpath((tmp_path / "flag").read_text()) == os.path.realpath(old)
        again = agent.ask("i1")
        assert again.status is StepStatus.DONE
        undone = agent.undo("i1", [str(tmp_path)])
        assert undone.status is StepStatus.DONE
    assert not (tmp_path / "flag").exists()


@pytest.mark.parametrize(
    ("python", "said"),
    [
        ("/nowhere/python", "its `python: /nowhere/python` can't be started: No such file or directory"),
        ("/bin/false", "its `python: /bin/false` ended with exit code 1"),
        ("/etc/passwd", "can't be started: Permission denied"),
    ],
)
def test_a_python_that_is_none_is_told(python, said, modules, tmp_path):
    modules("step", "raise_flag")
    modules("probe", "flag_length")
    with local.connect(tmp_path / "j") as agent:
        outcome = act(agent, tmp_path, python=python)
        look = agent.probe([Spec("x", "flag_length", {"path": "/etc/hosts"}, python=python)])["x"]
    assert outcome.status is StepStatus.REFUSED
    assert said in outcome.error
    assert isinstance(look, NotSeen)
    assert said in look.reason


def test_a_timeout_holds_under_another_python_too(modules, old, tmp_path):
    modules("step", "raise_flag", first="while True:\n    pass")
    cls = catalogue.step("raise_flag")
    with local.connect(tmp_path / "j") as agent:
        asked = Order("raise_flag", params.coerce(cls, {"path": str(tmp_path / "f")}), timeout=1.0, python=old)
        outcome = agent.run("i1", asked, writable=[str(tmp_path)])
    assert outcome.status is StepStatus.TIMEOUT
    assert "runbook_modules/steps/raise_flag.py" in outcome.error


def test_a_bundled_probe_looks_under_another_python(old, tmp_path):
    (tmp_path / "x").write_text("abc")
    with local.connect(tmp_path / "j") as agent:
        look = agent.probe([Spec("x", "file", {"path": (str(tmp_path / "x"),)}, python=old)])["x"]
    assert isinstance(look, Seen)
    assert look.records[0].fields["size"] == 3


def test_a_damaged_layer_is_refused_and_the_agent_goes_on(modules, tmp_path, monkeypatch):
    modules("step", "raise_flag")
    real = layers.message
    monkeypatch.setattr(layers, "message", lambda digest: {**real(digest), "body": "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="})
    with local.connect(tmp_path / "j") as agent:
        outcome = act(agent, tmp_path)
        assert outcome.status is StepStatus.REFUSED
        assert "arrived damaged" in outcome.error
        monkeypatch.setattr(layers, "message", real)
        assert act(agent, tmp_path, "i2").status is StepStatus.DONE


def test_a_runbook_says_python_for_a_step_and_a_detector(cli, old, tmp_path):
    folder = cli.home / "runbook_modules"
    own.write(folder, "step", "raise_flag", first="import sys\nobject.__setattr__(self, 'text', sys.version[:3])")
    own.write(folder, "probe", "flag_length", first="import sys\nassert sys.version_info < (3, 10), sys.version")
    root = tmp_path / "root"
    root.mkdir()
    (root / "watched").write_text("x")
    cli.write(
        "p.yaml",
        f"""\
name: p
writable: [{root}]
detectors:
  - name: short
    flag_length: {root}/watched
    python: {old}
    when: length < 3
    limit: 3 per 1h
    recover:
      - {{raise_flag: {root}/flag, python: {old}}}
    verify: {{within: 1s}}
""",
    )
    assert cli("lint", "--strict", "p.yaml").exit_code == 0
    ran = cli.json("apply", "p.yaml")
    assert ran.incidents["short"]["state"] == "unhealed", ran.out
    assert (root / "flag").read_text() == "3.9"
    assert sys.version_info >= (3, 11)
    assert pathlib.Path(old).exists()
