"""A gateway started with the command line of a rendered pod, as its service account. Blocking."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from tests.controlplane.processes import wait_until

START_SECONDS = 60
END_SECONDS = 15


@dataclass(slots=True)
class Started:
    """The process, its log so far, and its pages."""

    child: subprocess.Popen[bytes]
    log: Path
    http: urllib3.PoolManager

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged, whole lines only."""
        whole = self.log.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def said(self, word: str) -> list[str]:
        """Messages that hold ``word``."""
        return [str(line["msg"]) for line in self.lines() if word in str(line["msg"])]

    def page(self, path: str) -> Any:
        """A page of the admin port: JSON, or the text of /metrics."""
        (port, *_) = [line["metrics_port"] for line in self.lines() if line["msg"] == "serving"]
        answer = self.http.request("GET", f"http://127.0.0.1:{port}{path}")
        text = answer.data.decode()
        return json.loads(text) if text.startswith(("{", "[")) else text

    def metric(self, series: str) -> float | None:
        """The value of one series on /metrics; None if it is not there."""
        found = [row for row in self.page("/metrics").splitlines() if row.startswith(f"{series} ")]
        return float(found[0].split()[-1]) if found else None


@contextmanager
def started(
    arguments: Sequence[str], kubeconfig: Path, folder: Path, *, serving: bool = True
) -> Iterator[Started]:
    """``loadstar gateway`` with ``arguments``, at ports of the system's choosing.

    By default it serves already; otherwise it has just been started.
    """
    log = folder / "gateway.log"
    command = [
        *(sys.executable, "-m", "gateway", *arguments),
        *("--grpc-port=0", "--grpc-health-port=0", "--metrics-port=0", "--bind-address=127.0.0.1"),
        *(f"--kubeconfig={kubeconfig}", "--zap-encoder=json"),
    ]
    with log.open("wb") as stderr:
        child = subprocess.Popen(command, stderr=stderr, stdout=subprocess.DEVNULL)
    with urllib3.PoolManager(timeout=5, retries=False) as http:
        process = Started(child, log, http)
        try:
            wait_until(
                lambda: not serving or child.poll() is not None or bool(process.said("serving")),
                within_s=START_SECONDS,
                what="the gateway serves",
            )
            if child.poll() is not None:
                raise RuntimeError(f"it ended with {child.returncode}: {log.read_text()[-3000:]}")
            yield process
        finally:
            child.terminate()
            try:
                child.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
