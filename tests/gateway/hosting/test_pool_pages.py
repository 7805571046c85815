"""What is shown of the pool: what is known, and nothing in place of what is not."""

from __future__ import annotations

import hashlib
import json

from prometheus_client import CollectorRegistry, generate_latest

from gateway.config.command_line import parse
from gateway.datalayer.state import LoraState, PoolState
from gateway.serving.pages import config_page, endpoints_page
from gateway.serving.policy_given import Given, Origin
from gateway.serving.pool_gauges import PoolGauges
from tests.builders import NOW, endpoint, pool
from tests.fakes.clock import ManualClock
from tests.gateway.hosting.test_policy_file import BAD, FIRST, SECOND, in_force


def samples(state: PoolState, prefix: str = "") -> list[str]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(PoolGauges("epp", lambda: state, ManualClock(now=NOW)))
    text = generate_latest(registry).decode()
    return [line for line in text.splitlines() if line.startswith(prefix) and line[0] != "#"]


def test_gauges_carry_the_references_names_old_and_new() -> None:
    state = pool(waiting=[1, 3], running=[2, 2], kv_used=[0.25, 0.75], observed_at=[98, 99])
    names = {line.partition("{")[0] for line in samples(state)}
    assert {
        "llm_d_epp_ready_endpoints",
        "llm_d_epp_average_kv_cache_utilization",
        "llm_d_epp_average_queue_size",
        "llm_d_epp_average_running_requests",
        "llm_d_epp_std_dev_kv_cache_utilization",
        "llm_d_epp_std_dev_queue_size",
        "llm_d_epp_std_dev_running_requests",
        "llm_d_epp_per_endpoint_queue_size",
        "inference_pool_ready_pods",
        "inference_pool_average_kv_cache_utilization",
        "inference_pool_average_queue_size",
        "inference_pool_average_running_requests",
        "inference_pool_per_pod_queue_size",
    } <= names
    assert samples(state, "llm_d_epp_average_kv") == [
        'llm_d_epp_average_kv_cache_utilization{name="epp"} 0.5'
    ]
    assert samples(state, "llm_d_epp_std_dev_queue") == [
        'llm_d_epp_std_dev_queue_size{name="epp"} 1.0'
    ]
    ages = samples(state, "loadstar_gateway_observation_age_seconds")
    assert [line.rpartition(" ")[2] for line in ages] == ["2.0", "1.0"]


def test_an_average_is_over_those_who_have_said_something() -> None:
    state = pool(waiting=[None, 4], observed_at=[None, NOW])
    assert samples(state, "llm_d_epp_average_queue") == [
        'llm_d_epp_average_queue_size{name="epp"} 4.0'
    ]
    assert samples(state, "inference_pool_per_pod") == [
        'inference_pool_per_pod_queue_size{model_server_pod="pod-1",name="epp"} 4.0'
    ]


def test_what_nobody_has_said_has_no_series() -> None:
    state = pool(waiting=[None], kv_used=[None], running=[None], observed_at=[None])
    assert samples(state, "llm_d_epp_average") == []
    assert samples(state, "llm_d_epp_ready") == ['llm_d_epp_ready_endpoints{name="epp"} 1.0']


def test_an_empty_pool_is_zero_endpoints() -> None:
    assert samples(pool(size=0)) == [
        'llm_d_epp_ready_endpoints{name="epp"} 0.0',
        'inference_pool_ready_pods{name="epp"} 0.0',
    ]


def test_the_endpoints_page_has_ages_and_null_for_the_unknown() -> None:
    lora = LoraState(running=frozenset({"b", "a"}), max_adapters=4)
    state = pool(
        endpoint(0, labels={"role": "decode"}, metrics_port=9400),
        waiting=[2],
        kv_used=[None],
        observed_at=[NOW - 1.5],
        inflight_requests=3,
        lora=[lora],
    )
    page = endpoints_page(state, NOW)
    assert json.loads(json.dumps(page)) == {
        "epoch": 1,
        "endpoints": [
            {
                "id": "default/pod-0",
                "destination": "10.0.0.1:8000",
                "metricsPort": 9400,
                "labels": {"role": "decode"},
                "ageSeconds": 1.5,
                "waiting": 2.0,
                "running": 0.0,
                "kvUsed": None,
                "kvBlocks": 1000.0,
                "blockTokens": 16.0,
                "inflightRequests": 3,
                "inflightTokens": 0,
                "inflightPrefillTokens": 0,
                "lora": {"running": ["a", "b"], "waiting": [], "maxAdapters": 4},
            }
        ],
    }


def test_the_configuration_page_names_files_and_shows_what_is_in_force() -> None:
    flags, _ = parse(["--config-text", FIRST, "--seed=1"])
    given = Given(FIRST.encode(), Origin("--config-text"))
    policy = in_force(given, clock=ManualClock(wall=1_700_000_000))
    page = config_page(flags, policy)
    shown = page.pop("flags")
    assert isinstance(shown, dict)
    assert page == {
        "since": "2023-11-14T22:13:20+00:00",
        "source": "--config-text",
        "resourceVersion": None,
        "sha256": hashlib.sha256(FIRST.encode()).hexdigest()[:16],
        "config": FIRST,
        "lastRefusal": None,
    }
    assert shown["seed"] == 1
    assert "config-text" not in shown


async def test_the_configuration_page_tells_what_was_refused_and_where_it_is_wrong() -> None:
    flags, _ = parse(["--config-map", "prod/gateway"])
    clock = ManualClock(wall=1_700_000_000)
    policy = in_force(Given(FIRST.encode(), Origin("ConfigMap prod/gateway", "41")), clock=clock)
    clock.advance(60)
    await policy.take(Given(BAD.encode(), Origin("ConfigMap prod/gateway", "42")))
    page = config_page(flags, policy)
    assert (page["since"], page["resourceVersion"]) == ("2023-11-14T22:13:20+00:00", "41")
    assert page["lastRefusal"] == {
        "at": "2023-11-14T22:14:20+00:00",
        "stands": True,
        "source": "ConfigMap prod/gateway",
        "resourceVersion": "42",
        "problems": [
            'plugins[0].type: unknown plugin type "queue-scorrer", did you mean queue-scorer?'
        ],
    }
    await policy.take(Given(SECOND.encode(), Origin("ConfigMap prod/gateway", "43")))
    refusal = config_page(flags, policy)["lastRefusal"]
    assert isinstance(refusal, dict)
    assert refusal["stands"] is False
