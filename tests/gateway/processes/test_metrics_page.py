"""One page for all processes: what they counted is added up, and never falls."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from prometheus_client import generate_latest

from gateway.datalayer.shared_memory import SharedMemory, create
from gateway.director.intent import LABEL_CHARACTERS
from gateway.metrics import Metrics
from gateway.processes.metrics_page import merged, page
from loadstar.telemetry.metrics import MAX_SERIES

TRAFFIC = ("m", "m", "", 0)
LABELS = {"model_name": "m", "target_model_name": "m", "fairness_id": "", "priority": "0"}


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    made = create(2, slots=8)
    yield made
    os.close(made.fd)


@contextmanager
def answering(memory: SharedMemory, workers: dict[int, tuple[int, Metrics]]) -> Iterator[None]:
    """Workers (number -> pid, metrics) that write their page when they are asked."""
    over = threading.Event()

    def answer() -> None:
        answered = int(memory.asked[0])
        while not over.wait(0.001):
            asked = int(memory.asked[0])
            if asked != answered:
                answered = asked
                for worker, (pid, metrics) in workers.items():
                    memory.pages.write(worker, page(metrics, pid, asked))

    thread = threading.Thread(target=answer)
    thread.start()
    for worker in workers:
        memory.serving[worker] = 1
    try:
        yield
    finally:
        over.set()
        thread.join()


def reader(memory: SharedMemory, own: Metrics) -> Callable[[str], float | None]:
    registry = merged(memory)(own).registry
    return lambda name: registry.get_sample_value(name, LABELS)


def served(times: int) -> Metrics:
    metrics = Metrics()
    for _ in range(times):
        metrics.routed(TRAFFIC, 100)
    return metrics


def test_counters_histograms_and_gauges_are_added_up(memory: SharedMemory) -> None:
    value = reader(memory, served(1))
    with answering(memory, {0: (10, served(2)), 1: (11, served(4))}):
        assert value("llm_d_epp_request_total") == 7
        assert value("inference_objective_request_sizes_count") is None  # other labels
        assert value("llm_d_epp_request_size_bytes_count") == 7
        assert value("llm_d_epp_request_size_bytes_sum") == 700
        assert value("llm_d_epp_request_running") == 7


def test_what_is_alike_everywhere_is_not_added_up(memory: SharedMemory) -> None:
    own, worker = Metrics(), Metrics()
    own.running_build("c", "1")
    worker.running_build("c", "1")
    registry = merged(memory)(own).registry
    with answering(memory, {0: (10, worker)}):
        labels = {"commit": "c", "build_ref": "1"}
        assert registry.get_sample_value("llm_d_epp_info", labels) == 1


def test_a_counter_does_not_fall_when_a_worker_dies(memory: SharedMemory) -> None:
    """Its gauges do: what it was doing, nobody does any more."""
    value = reader(memory, Metrics())
    with answering(memory, {0: (10, served(2)), 1: (11, served(4))}):
        assert value("llm_d_epp_request_total") == 6
    with answering(memory, {0: (10, served(2)), 1: (99, served(1))}):
        assert value("llm_d_epp_request_total") == 7
        assert value("llm_d_epp_request_running") == 3
        assert reader(memory, Metrics())("llm_d_epp_request_total") == 7  # a new collector


def test_a_worker_that_does_not_answer_is_shown_as_it_was(memory: SharedMemory) -> None:
    value = reader(memory, Metrics())
    with answering(memory, {0: (10, served(2))}):
        assert value("llm_d_epp_request_total") == 2
    assert value("llm_d_epp_request_total") == 2


def test_as_many_names_as_clients_may_invent_fit_the_page(memory: SharedMemory) -> None:
    """A name as long as a label may be, of the longest characters, in every place it can stand."""
    metrics = Metrics()
    for i in range(MAX_SERIES + 10):
        name = "\U0001f600" * (LABEL_CHARACTERS - 4) + f"{i:04}"
        traffic = (name, name, name, -(2**31))
        metrics.routed(traffic, 10**9)
        metrics.first_token(traffic, 1e9, streamed=True)
        metrics.refused(traffic, "shed")
        metrics.scheduled(1e9, name, name, name, 65535)
    text = page(metrics, 10, 1)
    assert len(text) < memory.pages.room / 2
    value = reader(memory, Metrics())
    with answering(memory, {0: (10, metrics), 1: (11, served(3))}):
        assert value("llm_d_epp_request_total") == 3


def test_a_page_says_what_it_says_whether_one_process_counts_or_several(
    memory: SharedMemory,
) -> None:
    """Every family, under every name, with every label and bucket."""
    metrics = served(2)
    metrics.first_token(TRAFFIC, 0.3, streamed=True)
    metrics.refused(TRAFFIC, "shed")
    metrics.reloaded("config", ok=False)
    metrics.running_build("c", "1")
    with answering(memory, {0: (10, metrics)}):
        both = generate_latest(merged(memory)(Metrics()).registry).decode()
    alone = generate_latest(metrics.registry).decode()
    counted = [
        line for line in alone.splitlines() if not line.startswith(("#", "process_", "python_"))
    ]
    assert set(counted) <= set(both.splitlines())
