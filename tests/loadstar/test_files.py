"""A file that is read again and again is a file, or is refused before anybody waits for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from loadstar.files import NotAFile, contents, unusable


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (os.mkfifo, "a named pipe"),
        (endless, "a device"),
        (listening, "a socket"),
        (Path.mkdir, "a directory"),
    ],
)
def test_whatever_might_be_waited_for_is_refused_at_once_with_the_mend(
    tmp_path: Path, made: Callable[[Path], object], kind: str
) -> None:
    made(path := tmp_path / "policy.yaml")
    with pytest.raises(NotAFile) as caught:
        contents(path)
    assert caught.value.strerror == f"is {kind}; put a regular file there, or a link to one"
    assert caught.value.filename == str(path)
    assert unusable(path) == caught.value.strerror


def test_links_are_followed_as_a_mounted_config_map_has_them(tmp_path: Path) -> None:
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "policy.yaml").write_bytes(b"mode: active\n")
    (tmp_path / "..data").symlink_to("..2026")
    path = tmp_path / "policy.yaml"
    path.symlink_to("..data/policy.yaml")
    assert (contents(path), contents(path, 4), unusable(path)) == (b"mode: active\n", b"mode", "")


def test_a_file_that_is_not_there_is_said_to_be_not_there(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    with pytest.raises(FileNotFoundError):
        contents(path)
    assert unusable(path) == "no such file"
    assert unusable("/dev/null/policy.yaml") == "no such file"
