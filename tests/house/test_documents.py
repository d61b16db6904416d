"""What the documents say is so: examples lint, consoles print what they show, links lead somewhere, the reference is fresh."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import agent_code
import documents
import pytest
import yaml

from runbook.engine.language import lint, load

ROOT, PAGES = documents.ROOT, documents.PAGES
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
WRITTEN = [page for page in PAGES if page.name != "lint.md"]  # whose examples tests/lint holds to more
BLOCKS = [block for page in WRITTEN for block in documents.blocks(page)]
RUNBOOKS = [
    block
    for block in BLOCKS
    if block.language == "yaml"
    and not block.note.startswith("not run")
    and not block.note.endswith(("case", ".test.yaml", ".drill.yaml", "inventory.yaml", "training.yml", "traps.yaml"))
]
CONSOLES = [page for page in PAGES if any(block.language == "console" for block in documents.blocks(page))]
CHANGED = (
    "engine",
    "modules",
    "runbook",
    "schemas",
    "docs",
    "tests/modules",
    "tests/lint",
)  # by what CONTRIBUTING does
LOOKED_AT = ("runbooks", "tests/conftest.py", "tests/agent_code.py", "pyproject.toml", "README.md", "Makefile")
HEAD = {
    "name": "example",
    "writable": ["/srv/llm"],
    "secrets": {"token": {"env": "TOKEN"}, "hf_token": {"env": "HF_TOKEN"}},
}
ELSEWHERE = {"RB012", "RB033"}  # names and writable trees that stand in the rest of a fragment's runbook


def whole(block):
    """A runbook around a fragment."""
    kind, data = block.note, yaml.safe_load(block.text)
    if kind == "top":
        return {"name": "example", **data}
    if kind == "operations":
        return {**HEAD, "operations": data}
    if kind == "steps":
        fault = {"name": "example", "health": None, "when": "load1 > 100", "recover": data}
        return {**HEAD, "detectors": [fault]}
    named = [{"name": f"example {number}", **item} for number, item in enumerate(data)]
    members = {name for item in data for key in ("all", "any", "sequence") for name in item.get(key, ())}
    inputs = sorted(members - {item["name"] for item in named})
    named += [{"name": name, "health": None, "when": f"load1 > {number}"} for number, name in enumerate(inputs, 100)]
    return {**HEAD, "detectors": named}


@pytest.mark.parametrize("block", RUNBOOKS, ids=lambda block: block.name)
def test_a_runbook_in_the_documents_lints(block, tmp_path):
    fragment = block.note in {"top", "operations", "steps", "detectors"}
    path = tmp_path / "example.yaml"
    path.write_text(yaml.safe_dump(whole(block), allow_unicode=True) if fragment else block.text, encoding="utf-8")
    found = lint.check(load.examine(path))
    if fragment:
        found = [each for each in found if each.level == "error" and each.code not in ELSEWHERE]
    assert sorted({each.code for each in found}) == block.codes, [f"{each.code} {each.message}" for each in found]


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python" and not b.file], ids=lambda b: b.name)
def test_python_in_the_documents_runs(block, tmp_path):
    if block.note.startswith("not run"):
        pytest.skip(block.note)
    done = subprocess.run(
        [sys.executable, "-c", block.text], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def place():
    """A directory with a short path, so that reports break their lines where the documents do."""
    made = Path(tempfile.mkdtemp(prefix="rb"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def prepared(page, place):
    """The directory in which a page's consoles run; CONTRIBUTING wants the project's own tree."""
    here = place / "here"
    here.mkdir()
    (place / "home").mkdir()
    if page.name == "CONTRIBUTING.md":
        for name in CHANGED:
            shutil.copytree(ROOT / name, here / name, symlinks=True)  # with the bytecode: it spares seconds
        for name in LOOKED_AT:
            (here / name).symlink_to(ROOT / name)
        (here / ".venv").symlink_to(sys.prefix)
    return here


def environment(page, place, here):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUNBOOK_", "PYTEST_"))}
    more = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        "HOME": str(place / "home"),
        "RUNBOOK_JOURNAL": str(place / "journal.db"),
        "RUNBOOK_AGENT_DIR": agent_code.furnish(place / "agent"),
        "NO_COLOR": "1",
        "COLUMNS": "80",
        "LC_ALL": "C.UTF-8",
    }
    return {**kept, **more, **({"PYTHONPATH": str(here)} if page.name == "CONTRIBUTING.md" else {})}


@pytest.mark.parametrize("page", CONSOLES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_console_in_the_documents_prints_what_it_shows(page, place):
    here = prepared(page, place)
    env, code = environment(page, place, here), 0
    for block in documents.blocks(page):
        if block.file:
            (here / block.file).parent.mkdir(parents=True, exist_ok=True)
            (here / block.file).write_text(block.text, encoding="utf-8")
        if block.language != "console" or block.note.startswith("not run"):
            continue
        for command, shown in documents.commands(block.text):
            assert command.startswith("echo $?") or code == 0, f"{block.name}: exit {code} before `{command}`"
            done = subprocess.run(
                ["bash", "-c", f"(exit {code}); {command}"],
                cwd=here, env=env, capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            code = 0 if command == "echo $?" else done.returncode
            printed = (done.stdout + done.stderr).replace(str(here), "/home/you")
            wrong = documents.mismatch(shown, printed, page)
            assert not wrong, f"{block.name}: `{command}` {wrong}"
        assert code == 0, f"{block.name} ends with exit {code}, which the page does not show"


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "sh"], ids=lambda block: block.name)
def test_a_command_in_the_documents_takes_its_options(block):
    from runbook.engine.cli._commands import runbook

    for words in re.findall(r"\brunbook ([a-z]+)([^\n|#;&]*)", block.text):
        import click

        context = click.Context(runbook)
        command = runbook.get_command(context, words[0])
        assert command is not None, f"there is no `runbook {words[0]}`"
        if isinstance(command, click.Group):
            command = command.commands[words[1].split()[0]]
        known = {option for one in command.get_params(context) for option in getattr(one, "opts", ())}
        assert set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", words[1])) <= known


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_link_in_the_documents_leads_somewhere(page):
    for target in documents.links(page):
        if target.startswith(("https://", "http://")):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor and there.suffix == ".md":
            assert anchor in set(documents.anchors(there)), f"{page.name}: {target}"


def test_the_reference_is_what_the_code_says():
    script = [sys.executable, str(ROOT / "docs/reference.py"), "--check"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), "run .venv/bin/python docs/reference.py"


def explained():
    """All that people wrote: the pages outside of the reference."""
    return "\n".join(page.read_text(encoding="utf-8") for page in ROOT.glob("docs/*.md"))


def test_every_key_is_explained():
    from runbook.engine.language import structure

    keys = {*structure.RUNBOOK_KEYS, *structure.DETECTOR_KEYS, *structure.OPERATION_KEYS, *structure.STEP_KEYS}
    text = explained()
    assert sorted(key for key in keys if f"`{key}" not in text and f"{key}:" not in text) == []


def test_every_command_is_named():
    from runbook.engine.cli._commands import runbook

    text = explained()
    missing = [
        name for name in runbook.list_commands(None) if f"runbook {name}" not in text and f"`{name}`" not in text
    ]
    assert missing == ["help"]


def test_every_page_is_in_the_navigation():
    listed = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    there = sorted(str(page.relative_to(ROOT / "docs")) for page in PAGES if page.is_relative_to(ROOT / "docs"))
    assert sorted(listed) == there


def test_the_documentation_needs_nothing_from_elsewhere():
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for asked in ("include_search_page", "extra_css", "extra_javascript"):
        assert f"{asked}: http" not in settings
    for picture in ROOT.glob("docs/**/*.svg"):
        assert not re.search(r"(?:href|src|url\()\W*https?://(?!www\.w3\.org)", picture.read_text(encoding="utf-8"))


def test_the_readme_counts_the_modules_that_there_are():
    from runbook.modules import catalogue

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"[{len(catalogue.probe_names())} probes]" in text
    assert f"[{len(catalogue.step_names())} steps]" in text


def test_the_changelog_tells_of_this_version():
    import runbook

    assert f"## [{runbook.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_architecture_names_files_that_are_there():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:engine|modules|runbooks|schemas|runbook)/[\w/]*(?:\.py)?)`", text))
    assert len(named) > 15
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_the_architecture_gives_every_dependency_its_reason():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| ([\w.-]+) \| ", text.partition("## Dependencies")[2], re.MULTILINE))
    assert told == {re.match(r"[\w.-]+", name)[0] for name in project["dependencies"]}


@pytest.mark.parametrize("package", ["jsonschema", "huggingface_hub"])
def test_what_the_architecture_calls_not_imported_is_not(package):
    pattern = re.compile(rf"^\s*(?:import|from) {package}\b", re.MULTILINE)
    files = [*ROOT.glob("engine/**/*.py"), *ROOT.glob("modules/**/*.py")]
    assert [file.name for file in files if pattern.search(file.read_text(encoding="utf-8"))] == []


def test_the_architecture_fits_on_two_screens():
    assert len((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()) <= 120
