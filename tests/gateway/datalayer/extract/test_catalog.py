"""Which engine an endpoint runs, and engines that the operator describes."""

from __future__ import annotations

import pytest

from gateway.config.data_sources import CoreMetrics, EngineConfig
from gateway.datalayer.extract.catalog import engines
from gateway.datalayer.extract.load import EndpointLoad
from gateway.datalayer.state import LoraState
from loadstar.config.errors import ConfigError

LABEL = "llm-d.ai/engine-type"
LEGACY = "inference.networking.k8s.io/engine-type"


@pytest.mark.parametrize(
    ("labels", "engine"),
    [
        pytest.param({}, "vllm", id="no label"),
        pytest.param({LABEL: "sglang"}, "sglang", id="label"),
        pytest.param({LEGACY: "tgi"}, "tgi", id="legacy label"),
        pytest.param({LABEL: "sglang", LEGACY: "tgi"}, "sglang", id="the new label goes first"),
        pytest.param({LABEL: "", LEGACY: "tgi"}, "tgi", id="an empty label is none"),
        pytest.param({LABEL: "default"}, "vllm", id="default by name"),
        pytest.param({LABEL: "llamacpp"}, "vllm", id="unknown"),
    ],
)
def test_the_engine_is_chosen_by_label(labels: dict[str, str], engine: str) -> None:
    assert engines(CoreMetrics()).choose(labels).name == engine


def test_an_unknown_engine_keeps_its_name_for_the_log() -> None:
    known = engines(CoreMetrics())
    assert known.named({LABEL: "llamacpp"}) == "llamacpp"
    assert known.named({LABEL: "default"}) == ""


def test_label_and_default_are_the_operators() -> None:
    known = engines(CoreMetrics(engine_label_key="engine", default_engine="tgi"))
    assert known.choose({}).name == "tgi"
    assert known.choose({"engine": "vllm"}).name == "vllm"


CUSTOM = EngineConfig(
    name="mine",
    queued_requests_spec='queue{state=waiting,pool!="test"}',
    running_requests_spec='queue{state=~"run.*"}',
    kv_usage_spec="kv",
    lora_spec="lora",
    cache_info_spec="cache",
    cache_block_size_label_name="page",
    cache_num_blocks_label_name="pages",
)
PAGE = b"""\
queue{state="waiting",pool="a"} 3
queue{state="waiting",pool="b"} 4
queue{state="waiting",pool="test"} 100
queue{state="running"} 5
queue{state="runnable"} 1
kv 0.5
lora{running_lora_adapters="x",waiting_lora_adapters="y",max_lora="8"} 1
cache{page="16",pages="100"} 1
block 32
blocks 50
"""


def test_an_engine_of_the_operators_own() -> None:
    engine = engines(CoreMetrics(engine_configs=(CUSTOM,))).choose({LABEL: "mine"})
    assert engine.extract(PAGE) == EndpointLoad(
        waiting=7.0,
        running=6.0,
        kv_used=0.5,
        kv_blocks=100.0,
        block_tokens=16.0,
        lora=LoraState(frozenset({"x"}), frozenset({"y"}), 8),
    )
    assert engine.reports == ("waiting", "running", "kv_used")


def test_what_is_not_described_is_not_expected() -> None:
    sizes = EngineConfig(
        name="sizes", cache_block_size_spec="block", cache_num_blocks_spec="blocks"
    )
    engine = engines(CoreMetrics(engine_configs=(sizes,))).choose({LABEL: "sizes"})
    assert engine.extract(PAGE) == EndpointLoad(kv_blocks=50.0, block_tokens=32.0)
    assert engine.reports == ()


def test_an_operators_engine_goes_before_the_built_in() -> None:
    mine = EngineConfig(name="vllm", queued_requests_spec="block")
    assert engines(CoreMetrics(engine_configs=(mine,))).choose({}).extract(PAGE).waiting == 32.0


def test_every_problem_is_named_by_its_place() -> None:
    bad = EngineConfig(name="bad", queued_requests_spec="{a=b}", kv_usage_spec='kv{a=~"("}')
    with pytest.raises(ConfigError) as raised:
        engines(CoreMetrics(default_engine="vlm", engine_configs=(bad,)), "plugins[2].parameters")
    assert [str(problem) for problem in raised.value.problems] == [
        "plugins[2].parameters.engineConfigs[0].queuedRequestsSpec: "
        "'{a=b}' does not begin with a metric name",
        "plugins[2].parameters.engineConfigs[0].kvUsageSpec: '(' is not a regular expression: "
        "missing ), unterminated subpattern at position 0",
        "plugins[2].parameters.defaultEngine: no engine is called so, did you mean vllm?",
    ]
