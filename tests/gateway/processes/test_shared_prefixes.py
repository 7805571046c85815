"""Two workers' prefix producers know what either has sent where."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from gateway.datalayer.shared_memory import create
from gateway.plugins.producers.approx_prefix import ApproxPrefix
from gateway.prefix.exchange import Exchange
from gateway.scheduling.producer_parameters import PrefixParameters
from gateway.scheduling.types import Cycle, Decision
from tests.builders import cycle, pool, request

SIXTEEN = PrefixParameters(auto_tune=False, block_size_tokens=16)
"""Blocks of 64 bytes."""
STATE = pool()


@pytest.fixture
def producers() -> Iterator[list[ApproxPrefix]]:
    memory = create(2, slots=8)
    made = []
    for worker in range(2):
        exchange = Exchange(memory.heads, memory.rings, worker)
        exchange.living = frozenset(STATE.slots.tolist())
        made.append(ApproxPrefix("p", SIXTEEN, exchange.inbox("p")))
    yield made
    os.close(memory.fd)


def asked(producer: ApproxPrefix, prompt: str) -> Cycle:
    told = cycle(STATE, request=request(prompt))
    producer.produce(told)
    return told


def held(producer: ApproxPrefix, prompt: str) -> list[int]:
    return [int(n) for n in asked(producer, prompt).prefixes["p"].matched_blocks[STATE.slots]]


def test_a_prompt_is_found_by_the_worker_that_did_not_send_it(
    producers: list[ApproxPrefix],
) -> None:
    here, there = producers
    told = asked(here, "a" * 640)
    here.picked(told, Decision((STATE.endpoints[1],), "default"))
    assert held(there, "a" * 640) == [0, 10, 0]
    there.served(told, Decision((STATE.endpoints[1],), "default"), STATE.endpoints[2])
    assert held(here, "a" * 640) == [0, 10, 10]


def test_an_endpoint_that_left_is_forgotten_by_both(producers: list[ApproxPrefix]) -> None:
    here, there = producers
    here.picked(asked(here, "a" * 640), Decision((STATE.endpoints[1],), "default"))
    there.catch_up()
    for producer in producers:
        producer.left(STATE.endpoints[1])
    assert held(there, "a" * 640) == held(here, "a" * 640) == [0, 0, 0]
