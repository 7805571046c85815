"""The director with the configured plugins and the real datastore: does the whole route well?"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from gateway.datalayer.confidence import confidence
from gateway.datalayer.discovered import EndpointSpec
from gateway.datalayer.inflight import InFlight
from gateway.datalayer.store import Datastore
from gateway.director import Director
from gateway.errors import NothingFits
from gateway.metrics import Metrics
from gateway.plugins.load import load
from gateway.request.model import Ending, InferenceRequest, Outcome
from gateway.scheduling.plugin_type import Settings
from tests.builders import NOW, request
from tests.fakes.clock import ManualClock

STALENESS = 2.0

SESSIONS = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: session-affinity-scorer
- type: max-score-picker
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: session-affinity-scorer
  - pluginRef: max-score-picker
"""

NOBODY = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: label-selector-filter
  parameters: {matchLabels: {role: nobody}}
- type: max-score-picker
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: label-selector-filter
  - pluginRef: max-score-picker
"""


class Gateway:
    """A director over four endpoints that were just scraped and are idle."""

    def __init__(self, config: str | None = None) -> None:
        self.store = Datastore()
        self.store.sync([EndpointSpec(f"pod-{i}", f"10.0.0.{i}", 8000) for i in range(1, 5)])
        columns = self.store.columns
        for column in (columns.waiting, columns.running, columns.kv_used):
            column[:4] = 0.0
        columns.observed_at[:4] = NOW
        built = load(config, Settings(lambda seen, now: confidence(seen, now, STALENESS)))
        self.director = Director(
            store=self.store,
            policy=lambda: built,
            inflight=InFlight(lambda: self.store.columns),
            measures=Metrics(),
            clock=ManualClock(),
            rng=random.Random(1),
        )

    def route(self, asked: InferenceRequest) -> tuple[int, str]:
        """Ticket and first destination."""
        route = self.director.route(asked, None, NOW)
        return route.ticket, route.destinations[0]

    def finish(self, ticket: int) -> None:
        self.director.finish(ticket, Outcome(Ending.COMPLETE, 200), NOW)


def test_a_prompt_goes_where_its_prefix_is() -> None:
    gateway = Gateway()
    homes: set[str] = set()
    for question in range(20):
        ticket, destination = gateway.route(request("Once upon a time. " * 400 + str(question)))
        homes.add(destination)
        gateway.finish(ticket)
    assert len(homes) == 1


def test_a_retry_teaches_where_the_prefix_really_is() -> None:
    """The pick is forgotten with its endpoint; who served is remembered."""
    gateway = Gateway()
    stories = [f"{name} once upon a time. " * 400 for name in ("Anna", "Bob", "Carl", "Dora")]
    for story in stories:
        ticket, picked = gateway.route(request(story))
        served = next(d for d in gateway.store.state.by_destination if d != picked)
        gateway.director.responding(ticket, 200, served, NOW)
        gateway.finish(ticket)
        again = gateway.director.route(request(story), _all_but(gateway, picked), NOW)
        assert again.destinations == (served,)
        gateway.finish(again.ticket)


def test_unrelated_prompts_spread_before_any_scrape_tells() -> None:
    """The account of requests in flight changes with every pick; the scraped columns do not."""
    gateway = Gateway()
    destinations = [gateway.route(request(f"{i} " * 2000))[1] for i in range(40)]
    assert {destinations.count(d) for d in set(destinations)} == {10}


def test_a_request_routed_on_its_headers_alone_is_spread_like_any_other() -> None:
    gateway = Gateway()
    asked = replace(request(body=False), body_bytes=8000)
    destinations = [gateway.route(asked)[1] for _ in range(40)]
    assert {destinations.count(d) for d in set(destinations)} == {10}


def test_the_session_token_in_the_response_leads_back_to_who_served() -> None:
    gateway = Gateway(SESSIONS)
    ticket, picked = gateway.route(request())
    served = next(d for d in gateway.store.state.by_destination if d != picked)
    headers = dict(gateway.director.responding(ticket, 200, served, NOW))
    for _ in range(10):
        assert gateway.route(request(headers=headers))[1] == served


def test_filters_that_drop_everybody_are_a_refusal() -> None:
    gateway = Gateway(NOBODY)
    with pytest.raises(NothingFits):
        gateway.route(request())
    assert gateway.director.live == 0


def _all_but(gateway: Gateway, destination: str) -> tuple[str, ...]:
    return tuple(d for d in gateway.store.state.by_destination if d != destination)
