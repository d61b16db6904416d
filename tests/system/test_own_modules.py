"""Users' modules from lint to the host: found beside the runbook, read without running, sent, and precise when wrong."""

import json
import os
import pathlib
import shutil
import stat
import tempfile

import own_modules as own
import pytest

from runbook.engine.cli import _names
from runbook.engine.language.own import enlist, trust

RUNBOOK = """\
name: own
writable: [{root}]
detectors:
  - name: flag down
    flag_length: {root}/watched
    when: length < 3
    limit: 3 per 1h
    recover:
      - raise_flag: {{path: {root}/flag, text: "{text}"}}
    verify: {{within: 1s}}
"""


@pytest.fixture
def project(tmp_path, cli):
    """A runbook with modules beside it."""
    folder = cli.home / "runbook_modules"
    own.write(folder, "step", "raise_flag")
    own.write(folder, "probe", "flag_length")
    root = tmp_path / "root"
    root.mkdir()
    (root / "watched").write_text("x")
    cli.write("own.yaml", RUNBOOK.format(root=root, text="up"))
    cli.folder, cli.root = folder, root
    return cli


def said(ran):
    return " ".join((ran.out + ran.err).split())


def test_a_runbook_uses_the_modules_that_stand_beside_it(project):
    assert project("lint", "--strict", "own.yaml").out == "no findings in 1 file\n"
    ran = project.json("apply", "own.yaml")
    assert ran.incidents["flag down"]["state"] == "unhealed"  # the flag is up; what is watched stays short
    assert (project.root / "flag").read_text() == "up"
    assert project("doc", "raise_flag").out.startswith("raise_flag  step · impact low")
    assert "length" in project("doc", "flag_length").out


def test_what_is_sent_is_sent_once_and_again_when_it_changed(project):
    def sent():
        return {path.parent for path in (project.home / "agent/code").glob("*/runbook_modules")}

    project.json("check", "own.yaml")
    [before] = sent()
    project.json("check", "own.yaml")
    assert sent() == {before}
    own.write(project.folder, "step", "raise_flag", first="# another")
    project.json("check", "own.yaml")
    assert len(sent()) == 2
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o700 for path in sent())


def test_the_agent_imports_only_from_what_it_owns_alone(project):
    project.json("check", "own.yaml")
    [layer] = [path.parent for path in (project.home / "agent/code").glob("*/runbook_modules")]
    layer.chmod(0o777)
    ran = project.json("check", "own.yaml")
    assert ran.exit_code == 4
    assert f"others can write in {layer}" in ran.out


@pytest.mark.parametrize(
    ("harm", "what", "mend"),
    [
        (lambda home, folder: folder.chmod(0o775), "group 0 can write in {folder}", "chmod go-w {folder}"),
        (lambda home, folder: folder.chmod(0o777), "everybody can write in {folder}", "chmod go-w {folder}"),
        (lambda home, folder: (folder / "steps").chmod(0o777), "can write in {folder}/steps", "chmod go-w {folder}/steps"),
        (lambda home, folder: home.chmod(0o777), "everybody can write in {home}", "chmod go-w {home}"),
        (lambda home, folder: (folder / "steps/raise_flag.py").chmod(0o666), "can write in {folder}/steps/raise_flag.py",
         "chmod go-w {folder}/steps/raise_flag.py"),
        (lambda home, folder: os.chown(folder, 65534, -1), "{folder} belongs to uid 65534", "chown 0 {folder}"),
        (lambda home, folder: os.chown(home, 65534, -1), "{home} belongs to uid 65534", "chown 0 {home}"),
        (lambda home, folder: (folder.rename(home / "real"), folder.symlink_to("real")), "{folder} is a link", "put the folder itself"),
        (lambda home, folder: ((folder / "steps/raise_flag.py").rename(home / "x.py"),
                               (folder / "steps/raise_flag.py").symlink_to(home / "x.py")), "raise_flag.py is a link", "put the file itself"),
        (lambda home, folder: ((folder / "steps").rename(home / "s"), (folder / "steps").symlink_to(home / "s")), "/steps is a link",
         "put the folder itself"),
    ],
    ids=["group", "all", "inner", "parent", "file", "owner", "owner above", "link", "file link", "inner link"],
)  # fmt: skip
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_modules_that_others_can_change_are_refused_with_the_line_that_mends_it(harm, what, mend, project):
    harm(project.home, project.folder)
    ran = project("apply", "own.yaml", cwd=project.home)
    project.home.chmod(0o755)
    place = {"home": project.home, "folder": project.folder}
    assert ran.exit_code == 1
    assert "RB064" in ran.err
    assert what.format(**place) in said(ran)
    assert mend.format(**place) in said(ran)
    assert not (project.root / "flag").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_does_not_run_what_is_mine(project):
    """An ordinary user's modules are not root's to run, and the other way round they are."""
    for path in [project.home, *project.home.rglob("*")]:
        os.chown(path, 1000, 1000)
    ran = project("lint", "own.yaml")
    assert "belongs to uid 1000, not to root" in said(ran)
    for path in [project.home, *project.home.rglob("*")]:
        os.chown(path, 0, 0)
    place = tempfile.mkdtemp(dir="/tmp")  # pytest's own directories are closed to others
    own.write(place, "step", "raise_flag")
    for path in [pathlib.Path(place), *pathlib.Path(place).rglob("*")]:
        path.chmod(0o755)
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.setgid(1000)
            os.setuid(1000)
            os.write(tell, str(len(trust.sources(place))).encode())
        except BaseException as error:  # noqa: BLE001 -- told to the test
            os.write(tell, repr(error).encode())
        finally:
            os._exit(0)
    os.close(tell)
    with os.fdopen(told) as answer:
        assert answer.read() == "1"
    os.waitpid(pid, 0)
    shutil.rmtree(place)


def test_a_bundled_name_is_not_replaced(project):
    own.write(project.folder, "step", "command")
    project.write("c.yaml", "name: c\noperations:\n  - {name: x, command: 'true', timeout: 1m}\n")
    ran = project("apply", "c.yaml")
    assert ran.exit_code == 1
    assert "`command` is a step that comes with runbook, and runbook_modules/steps/command.py can't replace it" in said(
        ran
    )
    assert project("lint", "own.yaml").exit_code == 0  # who does not name it is not concerned


def test_a_name_of_the_other_noun_concerns_nobody(project):
    """A step that can't be had is no concern of a detector that names the bundled probe of that name."""
    (project.folder / "steps/file.py").symlink_to("raise_flag.py")
    own.write(project.folder, "probe", "command")
    text = "name: c\ndetectors:\n  - {name: gone, file: /nowhere, when: exists, recover: [{command: 'true'}]}\n"
    project.write("c.yaml", text)
    assert "RB064" not in project("lint", "c.yaml").out
    project.write("d.yaml", "name: d\noperations:\n  - {name: x, file: /nowhere, timeout: 1m}\n")
    assert "RB064" in project("lint", "d.yaml").out


def test_one_name_in_two_places_is_refused_unless_they_are_the_same(project, tmp_path):
    other = tmp_path / "more"
    own.write(other, "step", "raise_flag")
    assert project("lint", "own.yaml", "--module-path", other).exit_code == 0
    own.write(other, "step", "raise_flag", first="# otherwise")
    ran = project("lint", "own.yaml", "--module-path", other)
    assert ran.exit_code == 1
    assert "the step `raise_flag` stands in runbook_modules/steps/raise_flag.py and in" in said(ran)


def test_a_folder_of_the_module_path_is_used_everywhere(project, tmp_path):
    other = tmp_path / "more"
    project.folder.rename(other)
    ran = project("lint", "own.yaml")
    assert {"RB007", "RB008", "RB009"} & set(said(ran).replace("[", " ").split())
    for words in (["lint", "own.yaml"], ["doc", "raise_flag"], ["probe", "flag_length", project.root / "watched"],
                  ["run", "raise_flag", project.root / "flag", "--writable", project.root], ["check", "own.yaml"]):  # fmt: skip
        ran = project(*words, "--module-path", other)
        assert ran.exit_code in {0, 2}, said(ran)
    assert "raise_flag" in project("schema", "--module-path", other).out
    beside = said(project("lint", "own.yaml", "--module-path", tmp_path))
    assert "this folder holds no modules: neither steps/ nor probes/ is in it" in beside
    assert "no such folder" in said(project("lint", "own.yaml", "--module-path", tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("raise ValueError('odd flag')", "ValueError: odd flag (runbook_modules/steps/raise_flag.py:27 in plan)"),
        ("while True:\n    pass", "did not end within its timeout of 2 s; it was at runbook_modules/steps/raise_flag.py:2"),
        ("import os; os._exit(3)", "the step's process ended with exit code 3, in runbook_modules/steps/raise_flag.py"),
        ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found' (runbook_modules/steps/raise_flag.py:27 in plan)"),
        ("raise SystemExit(3)", "sys.exit(3) was called (runbook_modules/steps/raise_flag.py:27 in plan); raise `Failed`"),
        ("return None", "`plan` in runbook_modules/steps/raise_flag.py returned None, not a list of actions"),
        ("return ['x']", "`plan` in runbook_modules/steps/raise_flag.py returned the text 'x' among its actions"),
        ("return 'delete it'", "`plan` in runbook_modules/steps/raise_flag.py returned the text 'delete it', not a list"),
    ],
    ids=["raises", "hangs", "exits", "imports", "leaves", "none", "no action", "text"],
)  # fmt: skip
def test_a_step_that_goes_wrong_says_how_and_where(first, expected, project):
    own.write(project.folder, "step", "raise_flag", first=first)
    ran = project("run", "raise_flag", project.root / "flag", "--writable", project.root, "--timeout", "2s")
    assert ran.exit_code == 2
    assert expected in said(ran)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a b", "text=up"], "`text=up` has a name and stands behind a value that has none write 'path=a b' text=up"),
        (["x", "path=y"], "`path` is given twice"),
        (["path=x", "y"], "`path` is given twice"),
        (["x", "y"], "`y` is one value too many"),
    ],
)
def test_a_value_without_its_name_stands_last_and_alone(words, expected, project):
    ran = project("run", "raise_flag", *words)
    assert ran.exit_code == 1
    assert expected in said(ran)


def test_what_a_module_prints_disturbs_nobody(project):
    own.write(project.folder, "step", "raise_flag", first="print('x' * 100000)")
    own.write(project.folder, "probe", "flag_length", first="import os; os.write(1, b'junk' * 1000); print('more')")
    ran = project.json("apply", "own.yaml")
    assert (project.root / "flag").read_text() == "up"
    assert ran.incidents["flag down"]["state"] == "unhealed"
    assert "nobody sees what a module prints" in said(project("lint", "own.yaml"))


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("raise ValueError('odd')", "ValueError: odd (runbook_modules/probes/flag_length.py:29 in look)"),
        (
            "import os; os._exit(4)",
            "the process that looked died (exit code 4, in runbook_modules/probes/flag_length.py)",
        ),
        ("raise SystemExit(3)", "sys.exit(3) was called (runbook_modules/probes/flag_length.py:29 in look)"),
        ("yield 5", "`look` in runbook_modules/probes/flag_length.py yielded 5, not a FlagLengthRecord"),
        (
            "yield FlagLengthRecord(self.path, 'abc')",
            "FlagLengthRecord whose field `length` is the text 'abc', not int",
        ),
        ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
    ],
)
def test_a_probe_that_goes_wrong_is_unknown_and_says_where(first, expected, project):
    own.write(project.folder, "probe", "flag_length", first=first)
    ran = project("probe", "flag_length", project.root / "watched")
    assert ran.exit_code == 4
    assert expected in said(ran)


def test_a_probe_that_returns_nothing_says_so(project):
    file = project.folder / "probes" / "flag_length.py"
    body, _, _ = file.read_text().partition("        with open(")
    file.write_text(f"{body}        return None\n")
    ran = project("probe", "flag_length", project.root / "watched")
    assert ran.exit_code == 4
    assert "`look` in runbook_modules/probes/flag_length.py returned None; it must yield records" in said(ran)


def test_a_file_that_fails_when_it_is_imported_is_refused_on_the_host(project):
    file = own.write(project.folder, "step", "raise_flag")
    file.write_text(file.read_text() + "\n\nraise RuntimeError('not today')\n")
    ran = project("run", "raise_flag", project.root / "flag", "--writable", project.root)
    assert ran.exit_code == 2
    assert "`raise_flag` can't be imported under Python" in said(ran)
    assert "RuntimeError: not today (runbook_modules/steps/raise_flag.py:" in said(ran)


def test_nothing_of_a_file_runs_where_it_is_only_read(project, tmp_path):
    mark = tmp_path / "ran"
    file = own.write(project.folder, "step", "raise_flag")
    file.write_text(f"open({str(mark)!r}, 'w').close()\n" + file.read_text())
    for words in (["lint", "own.yaml"], ["doc", "raise_flag"], ["schema"], ["lint", "runbook_modules"]):
        assert project(*words).exit_code == 0
    assert not mark.exists()


def test_modules_of_installed_packages_are_found_by_their_entry_points(project, tmp_path):
    place = tmp_path / "site"
    step, probe = project.folder / "steps/raise_flag.py", project.folder / "probes/flag_length.py"
    mark = tmp_path / "imported"
    own.install(
        place, "acme-modules",
        {"acme/__init__.py": f"open({str(mark)!r}, 'a').write('x')\n", "acme/flags.py": step.read_text(),
         "acme/lengths.py": probe.read_text()},
        points="[runbook.steps]\nraise_flag = acme.flags:RaiseFlag\n[runbook.probes]\nflag_length = acme.lengths\n",
    )  # fmt: skip
    for path in (step, probe):
        path.unlink()
    env = {"PYTHONPATH": str(place)}
    assert project("lint", "own.yaml", env=env).exit_code == 0
    assert "raise_flag" in project("doc", env=env).out
    assert not mark.exists(), "the package was imported to be read"
    project.json("apply", "own.yaml", env=env)
    assert (project.root / "flag").read_text() == "up"
    place.chmod(0o777)
    ran = project("apply", "own.yaml", env=env)
    assert ran.exit_code == 1
    assert f"chmod go-w {place}" in said(ran)


def test_a_package_that_is_one_file_brings_modules_too(project, tmp_path):
    place, step = tmp_path / "site", project.folder / "steps/raise_flag.py"
    own.install(place, "acme", {"acme_flags.py": step.read_text()}, points="[runbook.steps]\nraise_flag = acme_flags\n")
    step.unlink()
    project.json("apply", "own.yaml", env={"PYTHONPATH": str(place)})
    assert (project.root / "flag").read_text() == "up"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("acme_flags:Other", "names the class Other"),
        ("acme_flags.inner", "which is not there"),
        ("nowhere_at_all", "which is not there"),
    ],
)
def test_an_entry_point_that_leads_nowhere_says_so(value, said, project, tmp_path):
    place, step = tmp_path / "site", project.folder / "steps/raise_flag.py"
    own.install(place, "acme", {"acme_flags.py": step.read_text()}, points=f"[runbook.steps]\nraise_flag = {value}\n")
    step.unlink()
    ran = project("lint", "own.yaml", env={"PYTHONPATH": str(place)})
    assert ran.exit_code == 1
    assert said in " ".join((ran.out + ran.err).split())


def test_shells_complete_them(project, monkeypatch):
    monkeypatch.chdir(project.home)
    try:
        assert _names.steps(None, None, "raise") == ["raise_flag"]
        assert _names.probes(None, None, "flag") == ["flag_length"]
    finally:
        enlist.forget()


def test_new_writes_modules_that_work_with_their_cases(cli):
    for noun, name in (("step", "open_gate"), ("probe", "queue_length")):
        assert cli("new", noun, name).exit_code == 0
    ran = cli("test", "runbook_modules")
    assert (ran.exit_code, "6 cases in 2 files" in ran.out) == (0, True)
    assert cli("lint", "--strict", "runbook_modules").exit_code == 0
    assert "can't be the name of a step" in cli("new", "step", "Open-Gate").err
    assert "comes with runbook" in cli("new", "probe", "http").err
    assert "there is a probe `file` already" in cli("new", "step", "file").err
    assert "`class` can't be the name of a step: it is a word of Python" in cli("new", "step", "class").err
    assert "there is such a file already" in cli("new", "step", "open_gate").err
    assert cli("new", "step", "open_gate", "--force").exit_code == 0


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        ("- {case: a, params: {path: '{tmp}/f'}, actions: []}", "0 expected, 1 given"),
        ("- {case: a, params: {path: '{tmp}/f', txt: x}, actions: []}", "did you mean text?"),
        ("- {case: a, params: {path: /etc/f}, refused: outside}", "1 case in 1 file"),
        (
            "- {case: a, parms: 1, actions: []}",
            "`parms` means nothing in a case --> runbook_modules/steps/raise_flag.case.yaml:1:13",
        ),
        ("- {case: a, parms: 1, actions: []}", "help: did you mean `params`?"),
        ("- {case: a, params: {path: x}}", "expects nothing"),
        ("cases: []", "a list of mappings, each with a `case`"),
    ],
)
def test_cases_of_a_module_are_judged(cases, expected, project):
    (project.folder / "steps/raise_flag.case.yaml").write_text(cases + "\n")
    assert expected in said(project("test", "runbook_modules"))


def test_lint_looks_at_the_cases_of_modules_too(project):
    cases = project.folder / "steps/raise_flag.case.yaml"
    cases.write_text("- {case: a, params: {path: '{tmp}/f'}, actions: []}\n")
    for named in ("runbook_modules/steps/raise_flag.case.yaml", "runbook_modules"):
        assert project("lint", "--strict", named).exit_code == 0
    cases.write_text("- {case: a, parms: 1, actions: []}\n")
    for named in (cases, "runbook_modules", "."):
        ran = project("lint", named)
        assert (ran.exit_code, "did you mean `params`?" in ran.out) == (1, True)


def test_a_module_that_is_not_there_is_no_runbook_to_test(project):
    ran = project("test", "runbook_modules/steps/raise_flg.py")
    assert ran.exit_code == 1
    assert "there is no such file did you mean runbook_modules/steps/raise_flag.py?" in said(ran)


def test_a_case_whose_module_hangs_or_dies_says_so(project):
    (project.folder / "steps/raise_flag.case.yaml").write_text("- {case: a, params: {path: '{tmp}/f'}, actions: []}\n")
    own.write(project.folder, "step", "raise_flag", first="import os; os._exit(9)")
    ran = project("test", "runbook_modules/steps/raise_flag.py")
    assert (ran.exit_code, "its process ended with exit code 9" in said(ran)) == (1, True)
    own.write(project.folder, "step", "raise_flag", first="raise KeyError('x')")
    assert "it raises KeyError: 'x' (runbook_modules/steps/raise_flag.py:27 in plan)" in said(
        project("test", "runbook_modules")
    )


def test_two_runbooks_of_one_pass_may_have_modules_of_their_own(project):
    folder = project.home / "other"
    own.write(folder / "runbook_modules", "step", "lower_flag")
    text = f"name: other\nwritable: [{project.root}]\noperations:\n  - {{name: x, lower_flag: {project.root}/low, timeout: 1m}}\n"
    project.write("other/other.yaml", text)
    ran = project.json("apply", "own.yaml", "other/other.yaml")
    assert ran.exit_code == 2
    assert (project.root / "low").read_text() == (project.root / "flag").read_text() == "up"


def test_the_schema_of_editors_knows_them(project):
    defined = json.loads(project("schema").out)["$defs"]
    assert defined["step.raise_flag"]["anyOf"][0]["properties"]["text"]["description"] == "what it says"
    assert pathlib.Path(project.folder).exists()
