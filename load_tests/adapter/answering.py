"""What answers cost without a network: ``python -m load_tests.adapter.answering [--pods N ...]``.

For each number of pods, with 20 metrics each: memory of the store, time to put what was read into
columns, and to answer and render a list of all pods, one pod, and a pool. One process for each, so
that memory is its own. What HTTP, TLS and the aggregator add, ``load_tests.adapter`` measures.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np

from load_tests import words
from loadstar.clock import SystemClock
from loadstar.kube.resources import INFERENCE_POOLS, PODS
from loadstar.kube.selectors import from_labels
from metrics_adapter.adapter_config import parse_config
from metrics_adapter.api.parse import parse
from metrics_adapter.api.render import render
from metrics_adapter.query import Group, Inventory, Pod, Published, answer
from metrics_adapter.query.assemble import Page, Words, assemble
from metrics_adapter.store import Store

METRICS = 20
NAMESPACE = "lab"
POOL = str(INFERENCE_POOLS)
ROUNDS = 60
CUSTOM = ("apis", "custom.metrics.k8s.io", "v1beta2", "namespaces", NAMESPACE)
CLOCK = SystemClock()


def resident_mb() -> float:
    """Of this process now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


def pages(pods: Sequence[Pod], words: Words, now: float, rng: random.Random) -> list[Page]:
    """One page of 20 gauges of each pod."""
    metrics = np.array([words.metric_id(f"m{i}") for i in range(METRICS)], np.int16)
    labels = np.full(METRICS, words.label_id({"model_name": "m", "model": "m"}), np.int32)
    window = np.full(METRICS, -1, np.int32)
    return [
        Page(
            pod.key,
            pod.uid,
            now,
            metrics,
            labels,
            window,
            np.array([rng.uniform(0, 100) for _ in range(METRICS)]),
        )
        for pod in pods
    ]


def quantiles(act: Callable[[], object]) -> tuple[float, float]:
    """Of ``act``, in milliseconds: median of the CPU, which neighbours do not change, and p99."""
    took, used = [], []
    for _ in range(ROUNDS):
        began, before = CLOCK.now(), _cpu_seconds()
        act()
        used.append(1000 * (_cpu_seconds() - before))
        took.append(1000 * (CLOCK.now() - began))
    return float(np.percentile(used, 50)), float(np.percentile(took, 99))


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(count: int) -> dict[str, float | str]:
    """One row of the table."""
    before = resident_mb()
    rng = random.Random(1)
    now = CLOCK.wall()
    config = ", ".join(f"{{name: m{i}, from: [x{i}]}}" for i in range(METRICS))
    store = Store(parse_config(f"metrics: [{config}]"))
    pods = [
        Pod(
            NAMESPACE,
            f"vllm-5f9c7b-{i:05d}",
            f"00000000-0000-4000-8000-{i:012d}",
            {"app": "vllm", "pod-template-hash": "5f9c7b", "index": str(i)},
            now - 3600,
            f"node-{i // 8}",
            (("deployments.apps", "vllm"),),
            f"10.{i // 65536}.{i // 256 % 256}.{i % 256}",
        )
        for i in range(count)
    ]
    store.know(
        Inventory(pods, [Group(POOL, NAMESPACE, "chat", from_labels({"app": "vllm"}))], known=True)
    )
    words = Words()
    read = pages(pods, words, now, rng)
    with store.slot("pods") as slot:
        assembling = quantiles(lambda: slot.publish(Published(assemble(PODS, read, words)), now))
        gc.collect()
        memory = resident_mb() - before

        def asked(*path: str, **parameters: str) -> Callable[[], bytes]:
            query = parse((*CUSTOM, *path), parameters)
            return lambda: render(query, answer(store.view(), query, now))

        listing = asked("pods", "*", "m3", labelSelector="app=vllm")
        return {
            "pods": str(count),
            "series": str(count * METRICS),
            "store, MB": round(memory, 1),
            "process, MB": round(resident_mb(), 1),
            "list, kB": round(len(listing()) / 1e3),
            "columns CPU, ms": round(assembling[0], 2),
            **_both("list", quantiles(listing)),
            **_both("one pod", quantiles(asked("pods", pods[0].name, "m3"))),
            **_both("pool", quantiles(asked(POOL, "chat", "m3"))),
        }


def _both(name: str, found: tuple[float, float]) -> dict[str, float | str]:
    return {f"{name} CPU, ms": round(found[0], 2), f"{name} p99, ms": round(found[1], 2)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=words.count, nargs="+", default=[10, 1000, 5000])
    parser.add_argument("--one", type=words.count, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(measure(arguments.one)))
        return 0
    for count in arguments.pods:
        done = subprocess.run(
            [sys.executable, "-m", "load_tests.adapter.answering", "--one", str(count)],
            check=True,
            capture_output=True,
            text=True,
        )
        row = json.loads(done.stdout)
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
