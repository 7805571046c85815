"""A request gets a route, or a refusal that says what to do about it."""

from __future__ import annotations

import pytest

from gateway.director import Settings
from gateway.errors import Broken, Denied, NoEndpoint, NothingFits, Shed
from gateway.request.model import Ending, InferenceRequest, Outcome, Route
from gateway.request.model_rules import ModelRewrite, Rule, Target
from tests.builders import NOW, endpoint, pool, prefix_match, request
from tests.gateway.director.fakes import InOrder, rewritable, stage

HEADER_ONLY = request(body=False)


@pytest.fixture(params=[pytest.param(request(), id="body"), pytest.param(HEADER_ONLY, id="none")])
def asked(request: pytest.FixtureRequest) -> InferenceRequest:
    """A request with a body, and one routed on its headers alone: both are treated alike."""
    param: InferenceRequest = request.param
    return param


# --- candidates ---------------------------------------------------------------------------------


def test_a_route_names_the_scheduled_endpoints_best_first(asked: InferenceRequest) -> None:
    route = stage(scheduler=InOrder(most=2)).director.route(asked, None, NOW)
    assert route == Route(destinations=("10.0.0.1:8000", "10.0.0.2:8000"), ticket=1)


def test_an_ipv6_destination_is_in_brackets(asked: InferenceRequest) -> None:
    state = pool(endpoint(0, address="2001:db8::1"))
    assert stage(state).director.route(asked, None, NOW).destinations == ("[2001:db8::1]:8000",)


def test_the_subset_hint_is_obeyed(asked: InferenceRequest) -> None:
    route = stage().director.route(asked, ("10.0.0.3:8000", "10.0.0.2:8000"), NOW)
    assert route.destinations == ("10.0.0.2:8000",)


@pytest.mark.parametrize(
    ("size", "subset"),
    [
        pytest.param(0, None, id="empty pool"),
        pytest.param(0, ("10.0.0.1:8000",), id="empty pool, some subset"),
        pytest.param(3, (), id="empty subset"),
        pytest.param(3, ("10.0.0.1:8001", "10.9.9.9:8000"), id="subset matches nobody"),
    ],
)
def test_no_candidate_is_no_endpoint(
    asked: InferenceRequest, size: int, subset: tuple[str, ...] | None
) -> None:
    stg = stage(pool(size=size, capacity=4))
    with pytest.raises(NoEndpoint):
        stg.director.route(asked, subset, NOW)
    assert [code for _, code in stg.measures.of("refused")] == ["no_endpoint"]
    assert stg.requests() == [0, 0, 0, 0]


def test_the_subset_hint_can_be_switched_off(asked: InferenceRequest) -> None:
    stg = stage(settings=Settings(subset_filter=False))
    assert stg.director.route(asked, (), NOW).destinations == ("10.0.0.1:8000",)


def test_a_new_epoch_is_seen_by_the_next_request() -> None:
    stg = stage()
    stg.director.route(request(), ("10.0.0.1:8000",), NOW)
    moved = endpoint(1, address="10.0.0.77")
    stg.store.becomes(moved)
    route = stg.director.route(request(), ("10.0.0.77:8000",), NOW)
    assert route.destinations == ("10.0.0.77:8000",)


# --- rewrites and headers -----------------------------------------------------------------------


def test_a_rewrite_is_in_the_route_and_known_to_the_scheduler() -> None:
    rule = ModelRewrite("canary", (Rule(("llama",), (Target(1, "llama-base"),)),))
    stg = stage(rewrites=[rule])
    route = stg.director.route(rewritable(request(model="llama")), None, NOW)
    assert route.rewrite_to == "llama-base"
    assert stg.policy.scheduler.cycles[0].target_model == "llama-base"
    assert stg.measures.of("rewritten") == [("canary", "llama", "llama-base")]


def test_a_body_that_already_names_the_target_is_left_alone() -> None:
    rule = ModelRewrite("keep", (Rule(("llama",), (Target(1, "llama"),)),))
    stg = stage(rewrites=[rule])
    assert stg.director.route(rewritable(request(model="llama")), None, NOW).rewrite_to is None


def test_headers_that_plugins_want_the_server_to_see_are_in_the_route() -> None:
    headers = (("x-prefiller-host-port", "10.0.0.9:8000"),)
    stg = stage(scheduler=InOrder(request_headers=headers))
    assert stg.director.route(request(), None, NOW).request_headers == headers


def test_scores_are_in_the_route_when_asked_for() -> None:
    stg = stage(pool(size=2), settings=Settings(emit_scores=True))
    route = stg.director.route(request(), None, NOW)
    assert route.scores == {"10.0.0.1:8000": 1.0, "10.0.0.2:8000": 0.5}


def test_the_scheduler_is_told_the_objectives_priority() -> None:
    stg = stage(objectives={"chat": 9})
    stg.director.route(request(headers={"x-gateway-inference-objective": "chat"}), None, NOW)
    assert stg.policy.scheduler.cycles[0].priority == 9


# --- admission ----------------------------------------------------------------------------------

BATCH = request(headers={"x-llm-d-inference-objective": "batch"})


def test_a_sheddable_request_is_shed_when_the_pool_is_saturated() -> None:
    stg = stage(objectives={"batch": -1}, saturation=1.0)
    with pytest.raises(Shed):
        stg.director.route(BATCH, None, NOW)
    assert stg.requests() == [0, 0, 0]
    assert stg.policy.scheduler.learnt == []


def test_other_requests_do_not_even_ask_how_full_the_pool_is() -> None:
    stg = stage(saturation=1.0)
    stg.director.route(BATCH, None, NOW)
    assert stg.policy.saturation.asked == []


def test_saturation_is_that_of_the_candidates() -> None:
    stg = stage(objectives={"batch": -1})
    stg.director.route(BATCH, ("10.0.0.2:8000",), NOW)
    assert stg.policy.saturation.asked == [("pod-1",)]


def test_a_broken_detector_sheds_nobody() -> None:
    stg = stage(objectives={"batch": -1}, saturation=ZeroDivisionError())
    assert stg.director.route(BATCH, None, NOW).destinations
    assert stg.measures.of("plugin_failed") == [("Saturation", "saturation")]


def test_no_endpoint_goes_before_saturation() -> None:
    """An empty pool counts as saturated, but what the client must hear is 503."""
    stg = stage(pool(size=0, capacity=1), objectives={"batch": -1}, saturation=1.0)
    with pytest.raises(NoEndpoint):
        stg.director.route(BATCH, None, NOW)


# --- scheduling ---------------------------------------------------------------------------------


def test_a_profile_that_drops_everybody_is_told_as_such() -> None:
    stg = stage(scheduler=InOrder(fits=lambda e: False))
    with pytest.raises(NothingFits):
        stg.director.route(request(), None, NOW)
    assert [code for _, code in stg.measures.of("refused")] == ["no_capacity"]
    assert stg.director.live == 0


def test_a_profile_that_picks_nobody_is_told_as_such() -> None:
    with pytest.raises(NothingFits):
        stage(scheduler=InOrder(most=0)).director.route(request(), None, NOW)


def test_a_plugin_may_refuse() -> None:
    class Denying(InOrder):
        def _stumble(self, point: str) -> None:
            raise Denied("not you")

    with pytest.raises(Denied):
        stage(scheduler=Denying()).director.route(request(), None, NOW)


def test_a_broken_scheduler_costs_its_opinion_and_not_the_request() -> None:
    """The least busy endpoint is taken, as this gateway's own account has it."""
    state = pool(inflight_requests=[3, 1, 2])
    stg = stage(state, scheduler=InOrder(fails_at=frozenset({"schedule"})))
    assert stg.director.route(request(), None, NOW).destinations == ("10.0.0.2:8000",)
    assert stg.measures.of("plugin_failed") == [("InOrder", "schedule")]


def test_a_broken_scheduler_spreads_requests_over_equals() -> None:
    stg = stage(scheduler=InOrder(fails_at=frozenset({"schedule"})))
    for _ in range(30):
        stg.director.route(request(), None, NOW)
    assert stg.requests() == [10, 10, 10]


def test_a_broken_scheduler_obeys_the_subset() -> None:
    stg = stage(scheduler=InOrder(fails_at=frozenset({"schedule"})))
    route = stg.director.route(request(), ("10.0.0.3:8000",), NOW)
    assert route.destinations == ("10.0.0.3:8000",)


def test_a_refusal_of_the_gateways_own_making_is_no_plugin_failure() -> None:
    class OutOfOrder(InOrder):
        def _stumble(self, point: str) -> None:
            raise Broken("cannot")

    stg = stage(scheduler=OutOfOrder())
    with pytest.raises(Broken):
        stg.director.route(request(), None, NOW)
    assert stg.measures.of("plugin_failed") == []


def test_a_failing_plugin_is_counted_each_time_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stg = stage(scheduler=InOrder(fails_at=frozenset({"schedule"})))
    for _ in range(5):
        stg.director.route(request("a secret prompt"), None, NOW)
    assert stg.measures.of("plugin_failed") == [("InOrder", "schedule")] * 5
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("plugin InOrder failed at schedule with ZeroDivisionError")


def test_a_learner_that_raises_does_not_lose_the_route_or_the_credit() -> None:
    stg = stage(scheduler=InOrder(fails_at=frozenset({"picked"})))
    route = stg.director.route(request(), None, NOW)
    assert stg.requests() == [1, 0, 0]
    stg.director.finish(route.ticket, Outcome(Ending.COMPLETE, 200), NOW)
    assert stg.requests() == [0, 0, 0]


# --- what is taken and told ---------------------------------------------------------------------


def test_the_first_endpoint_is_credited_with_the_requests_cost() -> None:
    state = pool(size=2)
    prefix = prefix_match(state, [2, 0], total=6)
    stg = stage(state, scheduler=InOrder(most=2, prefix=prefix))
    stg.director.route(request("x" * 400, max_output_tokens=40), None, NOW)
    assert stg.inflight() == [(1, 68 + 40, 68), (0, 0, 0)]


def test_plugins_learn_of_the_pick() -> None:
    stg = stage()
    stg.director.route(request(), None, NOW)
    assert stg.policy.scheduler.learnt == [("picked", "pod-0")]


def test_a_followed_request_does_not_keep_its_prompt() -> None:
    """Streams last minutes and prompts may be megabytes."""
    stg = stage()
    stg.director.route(request("x" * 100_000), None, NOW)
    (cycle,) = stg.policy.scheduler.cycles
    assert cycle.request.body is not None
    assert cycle.request.body.prompt == ()


def test_every_route_has_its_own_ticket() -> None:
    stg = stage()
    tickets = {stg.director.route(request(), None, NOW).ticket for _ in range(100)}
    assert len(tickets) == stg.director.live == 100


def test_a_route_is_measured() -> None:
    stg = stage(objectives={"chat": 9}, scheduler=InOrder(seconds=0.25))
    headers = {
        "x-llm-d-inference-objective": "chat",
        "x-llm-d-inference-fairness-id": "team-a",
    }
    stg.director.route(request("Hi!!", model="llama", headers=headers), None, NOW)
    assert stg.measures.said == [
        ("avoided", 0),
        ("scheduled", 0.25, "llama", "pod-0", "default", 8000),
        ("routed", ("llama", "llama", "team-a", 9), 4),
        ("live", 1),
    ]


def test_a_scheduling_without_result_is_measured_too() -> None:
    stg = stage(scheduler=InOrder(fits=lambda e: False, seconds=0.25))
    with pytest.raises(NothingFits):
        stg.director.route(request(model="llama"), None, NOW)
    assert stg.measures.of("scheduled") == [(0.25, "llama", "", "", 0)]
