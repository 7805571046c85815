"""The autoscaler as a process against a real control plane, with the rights of its manifests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from autoscaler.ledger.entries import Entry
from autoscaler.ledger.files import read
from tests.controlplane.cluster import ControlPlane

ROOT = Path(__file__).parents[2]
RBAC = ROOT / "manifests/base/autoscaler/rbac.yaml"
ACCOUNT = "loadstar-autoscaler"


def grant(plane: ControlPlane, namespace: str) -> list[dict[str, Any]]:
    """Apply the manifests' rights in ``namespace``; the cluster-wide objects, to be deleted."""
    wide = []
    for document in yaml.safe_load_all(RBAC.read_text()):
        for subject in document.get("subjects", ()):
            subject["namespace"] = namespace
        if document["kind"].startswith("Cluster"):
            document["metadata"]["name"] += f"-{namespace}"
            wide.append(document)
        else:
            document["metadata"]["namespace"] = namespace
        if document.get("roleRef", {}).get("kind") == "ClusterRole":
            document["roleRef"]["name"] += f"-{namespace}"
        plane.objects.apply(document)
    return wide


class Demand:
    """The demand file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rate = 5.0

    def say(self, rate: float | None = None) -> None:
        """What comes in now."""
        self.rate = self.rate if rate is None else rate
        said = {
            "atS": time.time(),  # noqa: TID251  # another process reads it against its own clock
            "arrivalsRps": self.rate,
            "inputTokens": 800.0,
            "outputTokens": 200.0,
            "queuedRequests": 0.0,
            "servedRps": self.rate,
        }
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps({"models": {"llama": said}}))
        new.replace(self.path)


class Autoscaler:
    """One process; ``with`` ends it."""

    def __init__(self, folder: Path, kubeconfig: Path, arguments: Mapping[str, str]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log"
        self._kubeconfig = kubeconfig
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Autoscaler:
        words = [f"--{name}={value}" for name, value in self._arguments.items()]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "autoscaler"),
                    f"--kubeconfig={self._kubeconfig}",
                    f"--ledger-dir={self.folder / 'ledger'}",
                    f"--state-dir={self.folder / 'state'}",
                    *("--metrics-port=0", "--bind-address=127.0.0.1", "--log-format=json"),
                    *words,
                ],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._process is not None
        self.go_on()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)

    def stop(self) -> None:
        """Freeze it, as a node that is overcommitted does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def entries(self) -> list[Entry]:
        return list(read(self.folder / "ledger"))

    def said(self, text: str) -> bool:
        """Whether its log has ``text``."""
        return text in self.log.read_text()
