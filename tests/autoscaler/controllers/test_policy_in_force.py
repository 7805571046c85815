"""A policy that is offered is taken whole, or changes nothing and says why."""

from __future__ import annotations

import pytest

from autoscaler.actuate.gate import Call, Gate
from autoscaler.controllers.policy_in_force import PolicyInForce
from autoscaler.errors import Advisory
from autoscaler.policy.model import Mode

GOOD = "mode: active\nmodels: [{name: chat}]\npools: [{name: a100}]\n"


def offered(*texts: str) -> PolicyInForce:
    held = PolicyInForce(lambda: 100.0)
    for text in texts:
        held.offer(text, "file policy.yaml")
    return held


def test_a_good_policy_is_in_force_with_its_mode_and_its_age() -> None:
    held = offered(GOOD)
    assert held.current is not None
    assert (held.mode, held.current.since_s, held.accepted) == (Mode.ACTIVE, 100.0, 1)


@pytest.mark.parametrize(
    ("bad", "place"),
    [
        pytest.param("models: []\npools: [{name: a}]", "models", id="not a policy"),
        pytest.param(
            "models: [{name: m, profileRef: llama}]\npools: [{name: a}]",
            "models[0].profileRef",
            id="a profile that nobody ships",
        ),
        pytest.param(
            "models: [{name: m, variants: [{pool: a, profileRef: llama}]}]\npools: [{name: a}]",
            "models[0].variants[0].profileRef",
            id="a variant's profile that nobody ships",
        ),
    ],
)
def test_a_bad_one_keeps_the_last_good_one_and_names_its_place(bad: str, place: str) -> None:
    held = offered(GOOD, bad)
    assert held.current is not None
    assert (held.current.text, held.mode, held.refused) == (GOOD, Mode.ACTIVE, 1)
    assert held.problem is not None
    assert str(held.problem.problems[0]).startswith(f"{place}: ")


def test_the_kill_switch_is_off_whatever_the_mode_says() -> None:
    assert offered(GOOD + "safety: {killSwitch: true}\n").mode is Mode.OFF


def test_the_kill_switch_keeps_back_the_very_next_write() -> None:
    held = offered(GOOD)
    gate = Gate(mode=lambda: held.mode, leads=lambda _seconds: True)
    call = Call(api="gke", method="setSize", target="a100")
    gate.check(call)
    held.offer(GOOD + "safety: {killSwitch: true}\n", "file policy.yaml")
    with pytest.raises(Advisory, match="mode off"):
        gate.check(call)


def test_without_a_policy_nothing_is_done() -> None:
    assert offered("models: []").mode is Mode.OFF
