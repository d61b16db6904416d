"""The wheel, and a wheel made from the sdist, run outside the checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import runbook

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def call(*argv, cwd, codes=(0,), **environment):
    env = {**os.environ, **environment}
    env.pop("PYTHONPATH", None)
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in codes, f"{argv}\n{done.stdout}{done.stderr}"
    return done.stdout


def built(folder, *words):
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), *words, str(ROOT), cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """Hold the sdist, and the wheel made from it."""
    return built(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module", params=["wheel", "wheel from the sdist"])
def wheel(request, tmp_path_factory, dist):
    folder = dist if "sdist" in request.param else built(tmp_path_factory.mktemp("wheel"), "--wheel")
    [found] = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Make a venv that has the wheel, and what it needs from the venv of the tests: no network is asked."""
    venv = tmp_path_factory.mktemp("venv")
    python = str(venv / "bin" / "python")
    call(sys.executable, "-m", "venv", "--without-pip", str(venv), cwd=venv)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    call(*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel), cwd=venv)
    site = call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=venv).strip()
    # A directory of a .pth file is only added to the path: the editable install's own .pth is not read.
    Path(site, "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return venv / "bin"


@pytest.fixture
def away(tmp_path):
    """Give a directory that holds somebody's own rooms, and the places that a run writes to."""
    for room in ("engine", "modules", "runbook", "runbooks", "schemas"):
        (tmp_path / "own" / room).mkdir(parents=True)
        (tmp_path / "own" / room / "__init__.py").write_text("raise RuntimeError('this is somebody else's')\n")
    (tmp_path / "own" / "runbook" / "__init__.py").unlink()
    (tmp_path / "own" / "runbook.yaml").write_text("- mine\n")
    places = {"RUNBOOK_JOURNAL": str(tmp_path / "journal.db"), "RUNBOOK_AGENT_DIR": str(tmp_path / "agent")}
    return tmp_path / "own", places


def test_it_is_imported_from_where_it_was_installed(installed, away):
    here, places = away
    code = "import runbook, runbook.engine.cli, runbook.modules.catalogue as c; print(runbook.__file__, c.__file__)"
    files = call(str(installed / "python"), "-P", "-c", code, cwd=here, **places).split()
    assert all(Path(file).is_relative_to(installed.parent) for file in files)


def test_version_lint_and_check_run_outside_the_checkout(installed, away):
    here, places = away
    command = str(installed / "runbook")
    assert call(command, "--version", cwd=here, **places) == f"runbook, version {runbook.__version__}\n"
    assert "error[" not in call(command, "lint", "quickstart", cwd=here, **places)
    before = sorted(here.rglob("*"))
    told = call(command, "apply", "quickstart", "--check", cwd=here, codes=(0, 2), **places)
    assert "nothing is changed" in told
    assert sorted(here.rglob("*")) == before


def test_the_bundled_data_is_there(installed, away):
    here, places = away
    schema = json.loads(call(str(installed / "runbook"), "schema", cwd=here, **places))
    assert schema["title"] == "runbook"


def test_the_wheel_holds_one_name_and_no_tests(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"runbook", f"runbook-{runbook.__version__}.dist-info"}
    for needed in ("engine/cli/__init__.py", "modules/agent.py", "runbooks/quickstart.yaml",
                   "runbooks/quickstart/service.py", "schemas/runbook.schema.json"):  # fmt: skip
        assert f"runbook/{needed}" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_the_sdist_holds_the_tests_and_what_they_read(dist):
    [file] = dist.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "README.md", "tests/house/test_package.py", "runbook/engine/run.py"} <= names
