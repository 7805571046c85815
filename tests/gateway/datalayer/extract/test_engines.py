"""Each engine's page, read as a load."""

from __future__ import annotations

import time

import pytest

from gateway.datalayer.extract.catalog import BUILT_IN
from gateway.datalayer.extract.load import EndpointLoad
from gateway.datalayer.state import LoraState
from load_tests.idle_page import page as vllm_page
from tests.gateway.datalayer.pages import page


@pytest.mark.parametrize(
    ("engine", "name", "load"),
    [
        pytest.param(
            "vllm",
            "vllm_data_parallel_lora",
            EndpointLoad(
                waiting=20.0,
                running=19.0,
                kv_used=0.5,
                kv_blocks=2200.0,
                block_tokens=32.0,
                lora=LoraState(frozenset({"sql", "chat"}), frozenset({"legal"}), 4),
            ),
            id="vLLM: ranks add up, KV is averaged, the newest adapters count",
        ),
        pytest.param(
            "vllm",
            "vllm_v0",
            EndpointLoad(waiting=1.0, running=2.0, kv_used=0.5, block_tokens=16.0),
            id="old vLLM: the old name of KV use, blocks not yet known",
        ),
        pytest.param(
            "sglang",
            "sglang_ranks",
            EndpointLoad(
                waiting=8.0, running=7.0, kv_used=0.375, kv_blocks=8192.0, block_tokens=64.0
            ),
            id="SGLang: tensor-parallel ranks and priorities do not count twice",
        ),
        pytest.param(
            "jetstream",
            "jetstream",
            EndpointLoad(
                waiting=6.0, kv_used=0.125, lora=LoraState(frozenset({"a", "b"}), max_adapters=2)
            ),
            id="JetStream: slots are not requests",
        ),
        pytest.param(
            "triton-tensorrt-llm",
            "triton_tensorrt_llm",
            EndpointLoad(
                waiting=4.0, running=9.0, kv_used=0.4875, kv_blocks=6248.0, block_tokens=64.0
            ),
            id="Triton TensorRT-LLM: one family, told apart by label in any order",
        ),
        pytest.param(
            "triton",
            "triton",
            EndpointLoad(waiting=5.0),
            id="Triton: a count of executions is not the number running",
        ),
        pytest.param(
            "trtllm-serve",
            "trtllm_serve",
            EndpointLoad(
                waiting=2.0, running=11.0, kv_used=0.62, kv_blocks=5000.0, block_tokens=32.0
            ),
            id="trtllm-serve",
        ),
        pytest.param("tgi", "tgi", EndpointLoad(waiting=7.0, running=4.0), id="TGI"),
    ],
)
def test_a_page_is_read(engine: str, name: str, load: EndpointLoad) -> None:
    assert BUILT_IN[engine].extract(page(name)) == load
    assert BUILT_IN[engine].missing(load) == ()


def test_jetstream_without_kv_metric_tells_its_slots() -> None:
    text = page("jetstream").replace(b"kv_cache_utilization_perc", b"something_else")
    assert BUILT_IN["jetstream"].extract(text).kv_used == 0.75


@pytest.mark.parametrize("engine", BUILT_IN)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html><body>404</body></html>", id="not metrics"),
        pytest.param(b"# HELP vllm:num_requests_waiting\n# EOF\n", id="only comments"),
        pytest.param(b"\x00\xff" * 1000, id="noise"),
    ],
)
def test_absence_is_not_zero(engine: str, text: bytes) -> None:
    load = BUILT_IN[engine].extract(text)
    assert load == EndpointLoad()
    assert load.silent
    assert BUILT_IN[engine].missing(load) == BUILT_IN[engine].reports


@pytest.mark.parametrize("value", ["NaN", "-1", "+Inf", "-Inf", "many"])
def test_a_count_that_makes_no_sense_is_unknown(value: str) -> None:
    good, bad = ('vllm:num_requests_waiting{engine="0"} 5', 'vllm:num_requests_waiting{engine="1"}')
    load = BUILT_IN["vllm"].extract(f"{good}\n{bad} {value}\n".encode())
    assert load.waiting is None


@pytest.mark.parametrize(
    ("value", "share"),
    [
        ("0", 0.0),
        ("1", 1.0),
        ("1.0000000000000002", 1.0),
        ("-1e-9", 0.0),
        ("1.5", None),
        ("87", None),
        ("NaN", None),
    ],
)
def test_a_share_stays_between_none_and_all(value: str, share: float | None) -> None:
    text = f"vllm:kv_cache_usage_perc {value}\n"
    assert BUILT_IN["vllm"].extract(text.encode()).kv_used == share


@pytest.mark.parametrize("blocks", ["None", "0", "-5", "1e9999", "", "12.5", "9" * 5000])
def test_a_cache_size_that_makes_no_sense_is_unknown(blocks: str) -> None:
    text = f'vllm:cache_config_info{{block_size="16",num_gpu_blocks="{blocks}"}} 1\n'
    load = BUILT_IN["vllm"].extract(text.encode())
    assert (load.kv_blocks, load.block_tokens) == (None, 16.0)


def test_no_adapters_running_is_known() -> None:
    text = (
        b'vllm:lora_requests_info{max_lora="2",running_lora_adapters="",waiting_lora_adapters=""} 1'
    )
    assert BUILT_IN["vllm"].extract(text).lora == LoraState(max_adapters=2)


def test_thousands_of_old_adapter_sets_are_passed_over() -> None:
    """vLLM keeps a series for each set of adapters it ever ran."""
    lines = [
        f'vllm:lora_requests_info{{max_lora="2",running_lora_adapters="a{n}"}} {n}\n'
        for n in range(5000)
    ]
    started = time.process_time()
    load = BUILT_IN["vllm"].extract("".join(reversed(lines)).encode())
    assert load.lora == LoraState(frozenset({"a4999"}), max_adapters=2)
    assert time.process_time() - started < 0.5


def test_a_page_of_full_size_costs_microseconds() -> None:
    """75 us on the machine it was written on; the bound only catches a change of kind."""
    text = vllm_page(waiting=3, running=2, kv_used=0.5)
    assert 51_000 < len(text) < 54_000
    load = BUILT_IN["vllm"].extract(text)
    started = time.process_time()
    for _ in range(100):
        BUILT_IN["vllm"].extract(text)
    assert (time.process_time() - started) / 100 < 0.001
    assert (load.waiting, load.running, load.kv_used) == (3.0, 2.0, 0.5)
    assert (load.kv_blocks, load.block_tokens) == (27000.0, 16.0)
