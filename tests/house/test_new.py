"""`runbook new`: what it writes is a runbook without a finding, and nothing is lost by it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from runbook.engine.cli.lint import command as lint
from runbook.engine.cli.new import command as new
from runbook.engine.errors import UserError
from runbook.engine.language import load


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def _call(command, *words):
        return CliRunner().invoke(command, words, catch_exceptions=False, standalone_mode=False)

    return _call


@pytest.mark.parametrize("name", ["serving", "serving.yaml", "on", "null", "1.5", "v2.0", "true"])
def test_it_lints_clean_and_bears_its_name(name, call, tmp_path):
    call(new, name)
    [written] = tmp_path.iterdir()
    assert call(lint, "--strict", str(written)).output == "no findings in 1 file\n"
    assert load.load(written).name == written.stem


def test_a_file_that_is_there_stays(call):
    Path("serving.yaml").write_text("mine\n")
    with pytest.raises(UserError, match="there is such a file already"):
        call(new, "serving")
    assert Path("serving.yaml").read_text() == "mine\n"


def test_force_writes_over_it(call):
    Path("serving.yaml").write_text("mine\n")
    call(new, "--force", "serving")
    assert "name: serving" in Path("serving.yaml").read_text()
