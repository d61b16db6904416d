"""The wrong inputs that every user makes once: a located message, never a traceback."""

import pytest

from runbook.engine.errors import RunbookInvalid
from runbook.engine.language import load

CASES = {
    "an empty file": (b"", 1, "the file is empty"),
    "a list where a mapping belongs": (b"- a\n- b\n", 1, "expected a mapping, got a list"),
    "a list for detectors' place": (b"name: x\npools:\n  - a\n", 3, "expected a mapping, got a list"),
    "invalid UTF-8": (b"name: x\ndescription: \xff\n", 2, "the file is not UTF-8: byte 0xff at offset 21"),
    "an unknown module": (b"name: x\noperations:\n  - comand: make\n", 3, "there is no module `comand`"),
    "two module keys in one step": (
        b"name: x\noperations:\n  - command: make\n    shell: make\n",
        4,
        "an operation has one module, and here are 2: command and shell",
    ),
    "for: 2 minuts": (
        b"name: x\ndetectors:\n  - name: d\n    port: 1\n    for: 2 minuts\n",
        5,
        "'2 minuts' is not a duration",
    ),
    "a template loop": (b'name: x\nvars:\n  a: "{{ b }}"\n  b: "{{ a }}"\n', 3, "template loop: a → b → a"),
    "a var of itself": (b'name: x\nvars:\n  a: ["{{ a }}"]\n', 3, "template loop: a → a"),
}


@pytest.mark.parametrize("what", CASES)
def test_wrong_input_is_a_located_message(tmp_path, what):
    content, line, message = CASES[what]
    file = tmp_path / "book.yaml"
    file.write_bytes(content)
    with pytest.raises(RunbookInvalid) as caught:
        load.load(file)
    [finding] = caught.value.findings
    assert message in finding.message
    assert (finding.span.file, finding.span.line) == (str(file), line)


def test_a_file_of_five_megabytes_is_refused(tmp_path):
    file = tmp_path / "book.yaml"
    file.write_bytes(b"name: x\n" + b"# padding\n" * (1 << 19))
    with pytest.raises(RunbookInvalid) as caught:
        load.load(file)
    assert [finding.message for finding in caught.value.findings] == [f"{file} is larger than 1 MiB"]


def test_a_directory_for_a_file_is_refused(tmp_path):
    with pytest.raises(RunbookInvalid) as caught:
        load.load(tmp_path)
    assert [finding.message for finding in caught.value.findings] == [f"{tmp_path} is a directory"]
