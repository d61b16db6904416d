"""Reading a file: what can't be read is a finding, whatever it is."""

import os

from runbook.engine.language import source


def only(path) -> source.Finding:
    read = source.read(path)
    assert read.data is None
    [problem] = read.problems
    assert problem.code == "RB001"
    return problem


def test_a_good_file_is_read(tmp_path):
    (tmp_path / "a.yaml").write_text("a: 1\n")
    assert source.read(tmp_path / "a.yaml").data == {"a": 1}


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    assert only(tmp_path / "no.yaml").message.endswith("no.yaml can't be read: No such file or directory")


def test_a_directory_is_called_one(tmp_path):
    assert only(tmp_path).message == f"{tmp_path} is a directory"


def test_a_device_is_not_read():
    assert only("/dev/zero").message == "/dev/zero is not a regular file"


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.yaml")
    assert only(tmp_path / "a.yaml").message == f"{tmp_path}/a.yaml is a pipe"


def test_a_pipe_that_the_shell_opened_is_read():
    reading, writing = os.pipe()
    os.write(writing, b"a: 1\n")
    os.close(writing)
    try:
        assert source.read(f"/dev/fd/{reading}").data == {"a": 1}
    finally:
        os.close(reading)


def test_a_name_with_nul_is_refused():
    assert "NUL" in only("a\0b").message


def test_a_link_to_itself_is_unreadable(tmp_path):
    file = tmp_path / "a.yaml"
    file.symlink_to(file)
    assert only(file).message.endswith("can't be read: Too many levels of symbolic links")


def test_five_megabytes_are_too_many(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_bytes(b"a: 1\n" * (1 << 20))
    assert only(file).message == f"{file} is larger than 1 MiB"


def test_invalid_utf_8_is_located(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_bytes("é: 1\nb: ".encode() + b"\xff\xfe\n")
    problem = only(file)
    assert problem.message == "the file is not UTF-8: byte 0xff at offset 9"
    assert (problem.span.line, problem.span.column) == (2, 4)


def test_utf_16_is_recognised(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_bytes("a: 1\n".encode("utf-16"))
    assert only(file).message == f"{file} is UTF-16, not UTF-8"


def test_a_byte_order_mark_is_no_problem_and_moves_no_column(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbfname: yes\nb: no\n")
    read = source.read(file)
    assert [(each.span.line, each.span.column) for each in read.problems] == [(1, 7), (2, 4)]
    assert [read.text[slice(*read.offset(each.span))] for each in read.problems] == ["yes", "no"]
    assert read.data == {"name": True, "b": False}


def test_a_megabyte_of_nul_characters_is_one_finding(tmp_path):
    path = tmp_path / "zeros.yaml"
    path.write_bytes(b"\0" * 900_000)
    [problem] = source.read(path).problems
    assert "not a text file" in problem.message


def test_a_run_of_invisible_characters_is_one_finding():
    [problem] = [found for found in source.parse("\x01" * 900_000, "x").problems if "U+0001" in found.message]
    assert "and 899999 more" in problem.message
