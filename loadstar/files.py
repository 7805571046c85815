"""Reading files that a service reads again while it serves: none of them may make it wait. IO.

A pipe in the place of a configuration holds whoever opens it until somebody writes there, and with
the reader each later change and the end of the process; a device may have no end at all. What a
command reads once, as it was typed, may be a pipe (``<(...)``) and does not come through here.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


class NotAFile(OSError):
    """Something else than a regular file is in its place; ``strerror`` says what, and the mend."""


def contents(path: str | Path, most: int = -1) -> bytes:
    """The bytes of a regular file, links followed; at most ``most`` of them where that is given.

    Raises OSError; NotAFile at once where reading might wait for ever.
    """
    _check(os.stat(path), path)  # first of all: to open a device may already do something
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        _check(os.fstat(descriptor), path)  # it may have been replaced since
        return file.read(most)


def unusable(path: str | Path) -> str:
    """Why ``contents`` could not read ``path``, for whoever checks flags; empty where it could."""
    try:
        return _not_a_file(os.stat(path))
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last: a NUL in the name
        return "no such file"
    except OSError as error:
        return error.strerror or str(error)


def _check(found: os.stat_result, path: str | Path) -> None:
    why = _not_a_file(found)
    if why:
        raise NotAFile(errno.EINVAL, why, str(path))


def _not_a_file(found: os.stat_result) -> str:
    """What ``found`` is, and what belongs there; empty for a regular file."""
    if stat.S_ISREG(found.st_mode):
        return ""
    kind = _KINDS.get(stat.S_IFMT(found.st_mode), "no regular file")
    return f"is {kind}; put a regular file there, or a link to one"
