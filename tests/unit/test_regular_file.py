import os
import socket

import pytest

from runbook.modules.acting.regular_file import Irregular, reading


def test_a_file_is_read_also_through_a_link(tmp_path):
    (tmp_path / "a").write_text("content")
    (tmp_path / "b").symlink_to("a")
    with reading(str(tmp_path / "b")) as file:
        assert file.read() == b"content"


def bound(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, bound])
def test_what_would_hang_is_no_regular_file(tmp_path, monkeypatch, make):
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    make("it")
    with pytest.raises(Irregular, match="not a regular file"):
        reading("it")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/tty"])
def test_a_device_is_not_opened(device):
    with pytest.raises(Irregular, match="not a regular file"):
        reading(device)


def test_a_pipe_that_takes_the_place_of_a_file_while_it_is_opened_does_not_hang(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("content")
    os.mkfifo(tmp_path / "pipe")
    opened = os.open
    monkeypatch.setattr(os, "open", lambda _, *rest: opened(tmp_path / "pipe", *rest))
    with pytest.raises(Irregular, match="not a regular file"):
        reading(str(tmp_path / "a"))


def test_what_is_not_there_is_said_to_be_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        reading(str(tmp_path / "a"))
