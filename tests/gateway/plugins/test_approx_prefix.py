"""The producer finds what was sent where, and only that."""

from __future__ import annotations

from gateway.datalayer.state import PoolState
from gateway.plugins.producers.approx_prefix import ApproxPrefix
from gateway.scheduling.producer_parameters import PrefixParameters
from gateway.scheduling.types import Cycle, Decision
from tests.builders import cycle, endpoint, pool, request

SIXTEEN = PrefixParameters(auto_tune=False, block_size_tokens=16)
"""Blocks of 64 bytes."""


def asked(state: PoolState, prompt: str, **rest: str) -> Cycle:
    return cycle(state, request=request(prompt, **rest))  # type: ignore[arg-type]  # only strings


def send(producer: ApproxPrefix, state: PoolState, prompt: str, slot: int, **rest: str) -> None:
    told = asked(state, prompt, **rest)
    producer.produce(told)
    by_slot = {member.slot: member for member in state.endpoints}
    producer.picked(told, Decision((by_slot[slot],), "default"))


def found(producer: ApproxPrefix, state: PoolState, prompt: str, **rest: str) -> list[int]:
    told = asked(state, prompt, **rest)
    producer.produce(told)
    match = told.prefixes["p"]
    assert told.prefix is match
    return [int(blocks) for blocks in match.matched_blocks[state.slots]]


def test_a_prompt_is_found_where_it_was_sent() -> None:
    state, producer = pool(), ApproxPrefix("p", SIXTEEN)
    send(producer, state, "a" * 640, 1)
    assert found(producer, state, "a" * 640) == [0, 10, 0]
    assert found(producer, state, "a" * 320 + "b" * 320) == [0, 5, 0]
    assert found(producer, state, "b" * 640) == [0, 0, 0]


def test_a_turn_longer_than_the_last_matches_its_whole_blocks() -> None:
    state, producer = pool(), ApproxPrefix("p", SIXTEEN)
    send(producer, state, "a" * 200, 0)
    told = asked(state, "a" * 1000)
    producer.produce(told)
    match = told.prefixes["p"]
    assert (match.matched_blocks[0], match.total_blocks, match.block_tokens) == (3, 16, 16)


def test_other_models_and_salts_share_nothing() -> None:
    state, producer = pool(), ApproxPrefix("p", SIXTEEN)
    send(producer, state, "a" * 640, 1, model="llama")
    assert found(producer, state, "a" * 640, model="qwen") == [0, 0, 0]
    assert found(producer, state, "a" * 640, model="llama", cache_salt="x") == [0, 0, 0]


def test_whoever_served_holds_it_too() -> None:
    state, producer = pool(), ApproxPrefix("p", SIXTEEN)
    told = asked(state, "a" * 640)
    producer.produce(told)
    decision = Decision((state.endpoints[0],), "default")
    producer.picked(told, decision)
    producer.served(told, decision, state.endpoints[2])
    assert found(producer, state, "a" * 640) == [10, 0, 10]


def test_an_endpoint_that_left_is_forgotten() -> None:
    state, producer = pool(), ApproxPrefix("p", SIXTEEN)
    send(producer, state, "a" * 640, 1)
    producer.left(state.endpoints[1])
    assert found(producer, state, "a" * 640) == [0, 0, 0]
    producer.left(endpoint(500))


def test_a_pool_may_grow_without_anything_being_forgotten() -> None:
    producer = ApproxPrefix("p", SIXTEEN)
    send(producer, pool(), "a" * 640, 1)
    grown = pool(size=130)
    send(producer, grown, "a" * 640, 129)
    expected = [0] * 130
    expected[1] = expected[129] = 10
    assert found(producer, grown, "a" * 640) == expected
    assert found(producer, pool(), "a" * 640) == [0, 10, 0]


def test_what_is_remembered_is_bounded_by_the_configuration() -> None:
    parameters = PrefixParameters(auto_tune=False, block_size_tokens=16, lru_capacity_per_server=25)
    state, producer = pool(), ApproxPrefix("p", parameters)
    for letter in "abc":
        send(producer, state, letter * 640, 0)
    assert producer.blocks(state.endpoints[0]) == 25
    assert found(producer, state, "c" * 640)[0] == 10
    assert found(producer, state, "a" * 640)[0] == 5


def test_auto_tuning_takes_blocks_and_capacity_from_the_endpoints() -> None:
    state = pool(block_tokens=[None, 128], kv_blocks=[None, 4])
    producer = ApproxPrefix("p", PrefixParameters())
    send(producer, state, "a" * 5120, 1)
    assert found(producer, state, "a" * 5120) == [0, 4]
    send(producer, state, "a" * 5120, 0)
    assert producer.blocks(state.endpoints[0]) == 10


def test_only_the_beginning_of_a_prompt_is_looked_at() -> None:
    parameters = PrefixParameters(
        auto_tune=False, block_size_tokens=16, max_prefix_tokens_to_match=64
    )
    state, producer = pool(), ApproxPrefix("p", parameters)
    send(producer, state, "a" * 256 + "b" * 6400, 0)
    told = asked(state, "a" * 256 + "c" * 6400)
    producer.produce(told)
    assert (told.prefixes["p"].matched_blocks[0], told.prefixes["p"].total_blocks) == (4, 4)


def test_a_request_without_a_prompt_has_no_match_and_teaches_nothing() -> None:
    state, producer = pool(), ApproxPrefix("p", SIXTEEN)
    told = cycle(state, request=request(body=False))
    producer.produce(told)
    producer.picked(told, Decision((state.endpoints[0],), "default"))
    assert told.prefix is None
    assert producer.blocks(state.endpoints[0]) == 0
