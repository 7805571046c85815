"""A real API server, its pods, and an adapter behind it that knows their metrics. Blocking.

The control plane and the installed adapter are those of the tests: what is measured is what is
proved.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import orjson

from load_tests.adapter.asking import Way
from load_tests.process import cpu_seconds
from tests.controlplane.api import Api
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.commands import Options
from tests.controlplane.processes import wait_until
from tests.integration.adapter_lab import (
    Adapter,
    adapter,
    custom,
    install,
    master,
    raw,
    register,
    sample,
    serves,
    tls_context,
    wait_available,
)

METRICS = 20
FILES = 5
"""Sources; each has the 20,000 rows that one may have when there are 5,000 pods."""
NAMESPACE = "bench"
KNOWN_SECONDS = 60.0
PODS_PER_GROUP = 10
"""Pods of one Deployment, as an HPA asks for them."""
HPA = (
    ("X-Remote-User", "system:serviceaccount:kube-system:horizontal-pod-autoscaler"),
    ("X-Remote-Group", "system:serviceaccounts"),
    ("X-Remote-Group", "system:serviceaccounts:kube-system"),
    ("X-Remote-Group", "system:authenticated"),
)


@dataclass(frozen=True)
class Plant:
    """What is up, and the ways to ask it."""

    plane: ControlPlane
    adapter: Adapter
    files: tuple[Path, ...]

    @property
    def aggregated(self) -> Way:
        return Way(self.plane.url, tls_context(master(self.plane)))

    @property
    def direct(self) -> Way:
        url = f"https://127.0.0.1:{self.adapter.port}"
        return Way(url, tls_context(self.plane.front_proxy), HPA)

    def resident_bytes(self) -> int:
        """Of the adapter's process now."""
        # The process that was started is a tether; it becomes what it was told to run.
        status = Path(f"/proc/{self.adapter.process.pid}/status").read_text()
        (line,) = (each for each in status.splitlines() if each.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def cpu_seconds(self) -> float:
        """That the adapter has used so far."""
        return cpu_seconds(self.adapter.process.pid)

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Inside, nothing else has a core before the adapter, the API server and ourselves.

        For a machine that has other things to do, whose waiting would be measured. Needs root.
        """
        processes = (self.adapter.process.pid, self.plane.apiserver.pid, os.getpid())
        threads = [int(each) for one in processes for each in os.listdir(f"/proc/{one}/task")]
        _schedule(threads, os.SCHED_RR, 1)
        try:
            yield
        finally:
            _schedule(threads, os.SCHED_OTHER, 0)

    def grow(self, pods: Sequence[int]) -> None:
        """Have ``pods`` (numbers) in the cluster."""
        pair = master(self.plane)

        def make(numbers: Sequence[int]) -> None:
            with Api(self.plane.url, self.plane.client_ca.cert, pair=pair) as api:
                for number in numbers:
                    api.request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", pod(number))

        with ThreadPoolExecutor(4) as workers:
            list(workers.map(make, [pods[start::4] for start in range(4)]))

    def tell(self, count: int, value: float) -> None:
        """Every metric of ``count`` pods, from ``value`` up, and wait until it shows."""
        each = METRICS // FILES
        for file in range(FILES):
            metrics = range(file * each, (file + 1) * each)
            rows = [
                sample("Pod", NAMESPACE, name(number), metric(index), value + number + index / 32)
                for number in range(count)
                for index in metrics
            ]
            replaced(self.files[file], orjson.dumps({"samples": rows}))
            path = listed(metrics[-1])
            first = f"{value + metrics[-1] / 32:.3f}"
            wait_until(
                lambda path=path, first=first: self._shows(path, count, first),  # type: ignore[misc]
                within_s=KNOWN_SECONDS,
                what=f"{count} pods are served",
            )

    def _shows(self, path: str, count: int, first: str) -> bool:
        """Whether the newest values of all pods are served."""
        if not serves(self.plane, path):
            return False
        items = raw(self.plane, path)["items"]
        return len(items) == count and f"{_number(items[0]['value']):.3f}" == first


@contextmanager
def plant(folder: Path) -> Iterator[Plant]:
    """Everything, for as long as the scope lasts."""
    with ControlPlane.started(folder / "plane", Options(controllers=())) as plane:
        install(plane)
        plane.objects.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        )
        # Without controllers nobody makes the roles whole, but those of the HPA are there.
        files = tuple(folder / f"samples-{number}.json" for number in range(FILES))
        sources = [{"type": "file", "path": str(file)} for file in files]
        for file in files:
            file.write_text('{"samples": []}')
        with adapter(plane, folder / "adapter", config={"sources": sources}) as made:
            register(plane, made.port)
            wait_available(plane, within_s=10)
            yield Plant(plane, made, files)


def _schedule(threads: Sequence[int], policy: int, priority: int) -> None:
    for each in threads:
        with suppress(ProcessLookupError):  # some have ended since
            os.sched_setscheduler(each, policy, os.sched_param(priority))


def replaced(file: Path, content: bytes) -> None:
    new = file.with_suffix(".new")
    new.write_bytes(content)
    new.rename(file)


def _number(quantity: str) -> float:
    """Of the suffixes that values here can have."""
    for suffix, factor in (("m", 0.001), ("k", 1000.0)):
        if quantity.endswith(suffix):
            return float(quantity.removesuffix(suffix)) * factor
    return float(quantity)


def name(number: int) -> str:
    return f"vllm-{number // PODS_PER_GROUP}-{number % PODS_PER_GROUP}"


def metric(index: int) -> str:
    return f"bench_metric_{index}"


def pod(number: int) -> dict[str, object]:
    """As large as pods are: what a Deployment's template makes of them matters to memory."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name(number),
            "namespace": NAMESPACE,
            "labels": {
                "app": "bench",
                "group": f"g{number // PODS_PER_GROUP}",
                "app.kubernetes.io/name": "vllm",
                "app.kubernetes.io/part-of": "bench",
            },
        },
        "spec": {"containers": [{"name": "vllm", "image": "none.invalid/vllm"}]},
    }


def listed(index: int) -> str:
    """The path of one metric of every pod."""
    return custom(NAMESPACE, "pods", "*", metric(index)) + "?labelSelector=app%3Dbench"


def of_group(group: int, index: int) -> str:
    """What the HPA of one Deployment asks."""
    return custom(NAMESPACE, "pods", "*", metric(index)) + f"?labelSelector=group%3Dg{group}"
