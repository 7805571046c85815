"""A ConfigMap is followed through the API: good changes rule, bad ones are said on the object."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.config.command_line import parse
from gateway.serving.policy_given import BUILT_IN, Given, Origin, Refusal, fallback_of
from gateway.serving.policy_in_force import PolicyInForce, Unusable
from gateway.serving.policy_watch import START_SECONDS, Kube, PolicyWatch, told
from loadstar.config.errors import MOST_IN_BRIEF, ConfigError, Problem
from loadstar.kube.config_map import ConfigMapRef
from loadstar.kube.errors import Forbidden
from tests.fakes.config_maps import FakeConfigMaps
from tests.gateway.hosting.test_policy_file import BAD, FIRST, SECOND, in_force

REF = ConfigMapRef("prod", "gateway", "picker.yaml")
DEFAULTS = Given(b"", Origin(BUILT_IN))
WRONG = 'plugins[0].type: unknown plugin type "queue-scorrer", did you mean queue-scorer?'
EMPTY = "ConfigMap prod/gateway/picker.yaml is empty"
pytestmark = pytest.mark.looptime


class LoopClock:
    """The loop's time, which these tests fake."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return 1_700_000_000 + self.now()


class Cluster:
    """A gateway that follows a ConfigMap of a fake API server."""

    def __init__(self, fallback: Given | None = None) -> None:
        self.api = FakeConfigMaps()
        self.api.write({"picker.yaml": FIRST})
        self.reloads: list[bool] = []
        self.fallback = fallback
        self.source = PolicyWatch(
            REF, self.connect, clock=LoopClock(), rng=random.Random(1), fallback=fallback
        )

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Kube]:
        yield self.api

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[PolicyInForce]:
        policy = await asyncio.to_thread(
            in_force, await self.source.first(), self.reloads, fallback=self.fallback
        )
        async with asyncio.TaskGroup() as tasks:
            run = tasks.create_task(self.source.run(policy))
            await until(lambda: self.api.lists == 1)
            yield policy
            run.cancel()

    def said(self) -> list[tuple[str, str, str]]:
        """Type, reason and message of each Event."""
        return [(e["type"], e["reason"], e["message"]) for e in self.api.events]


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(600):
        while not holds():  # noqa: ASYNC110 -- what changes raises no event
            await asyncio.sleep(0.01)


async def test_a_change_is_in_force_as_soon_as_it_is_said() -> None:
    cluster = Cluster()
    async with cluster.serving() as policy:
        assert policy.given == Given(
            FIRST.encode(), Origin("ConfigMap prod/gateway/picker.yaml", "11")
        )
        version = cluster.api.write({"picker.yaml": SECOND})
        await until(lambda: policy.given.text == SECOND.encode())
        assert policy.given.origin.resource_version == str(version)
        assert (cluster.reloads, cluster.said()) == ([True], [])


async def test_a_bad_change_leaves_the_last_good_one_and_is_said_on_the_object() -> None:
    cluster = Cluster()
    async with cluster.serving() as policy:
        before, hash = policy.current(), policy.given.sha256
        cluster.api.write({"picker.yaml": BAD})
        await until(lambda: cluster.api.events)
        assert policy.current() is before
        message = f"not taken, {hash} stays in force: {WRONG}"
        assert cluster.said() == [("Warning", "ConfigurationRefused", message)]
        assert cluster.api.events[0]["involvedObject"] == {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": "gateway",
            "namespace": "prod",
            "uid": "u-1",
        }
        cluster.api.write({"picker.yaml": SECOND})
        await until(lambda: len(cluster.api.events) == 2)
        taken = f"taken; sha256 {policy.given.sha256}"
        assert cluster.said()[1] == ("Normal", "ConfigurationTaken", taken)
        assert (policy.standing, cluster.reloads) == (False, [False, True])


async def test_going_back_to_what_is_in_force_ends_a_refusal() -> None:
    cluster = Cluster()
    async with cluster.serving() as policy:
        cluster.api.write({"picker.yaml": BAD})
        await until(lambda: policy.standing)
        cluster.api.write({"picker.yaml": FIRST})
        await until(lambda: not policy.standing)
        assert cluster.reloads == [False, True]


async def test_the_same_mistake_is_said_once() -> None:
    """Somebody who touches a label of the object must not cause a second report."""
    cluster = Cluster()
    async with cluster.serving() as policy:
        for _ in range(3):
            cluster.api.write({"picker.yaml": BAD})
            await asyncio.sleep(1)
        assert (len(cluster.api.events), cluster.reloads) == (1, [False])
        assert policy.standing


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(None, "there is no such ConfigMap", id="deleted"),
        pytest.param({"other": ""}, "data[picker.yaml]: is missing; there are: other", id="no key"),
        pytest.param({"picker.yaml": ""}, EMPTY, id="emptied"),
    ],
)
async def test_a_map_without_the_text_changes_nothing(
    data: dict[str, str] | None, problem: str
) -> None:
    cluster = Cluster()
    async with cluster.serving() as policy:
        before = policy.current()
        cluster.api.write(data)
        await until(lambda: cluster.api.events)
        assert policy.current() is before
        assert cluster.said()[0][2].endswith(f"stays in force: {problem}")
        cluster.api.write({"picker.yaml": SECOND})
        await until(lambda: policy.given.text == SECOND.encode())


async def test_an_absent_server_changes_nothing_and_what_it_missed_is_taken_when_it_is_back() -> (
    None
):
    cluster = Cluster()
    async with cluster.serving() as policy:
        before = policy.current()
        cluster.api.go(away=True)
        await asyncio.sleep(1800)
        assert policy.current() is before
        assert cluster.reloads == []
        cluster.api.write({"picker.yaml": SECOND})
        cluster.api.go(away=False)
        await until(lambda: policy.given.text == SECOND.encode())


async def test_a_server_that_forgets_is_asked_anew() -> None:
    cluster = Cluster()
    async with cluster.serving() as policy:
        cluster.api.forgets = True
        cluster.api.go(away=False)
        cluster.api.write({"picker.yaml": SECOND})
        await until(lambda: policy.given.text == SECOND.encode())
        assert cluster.api.lists == 2


async def test_events_that_may_not_be_written_keep_nothing_from_changing() -> None:
    cluster = Cluster()
    async with cluster.serving() as policy:
        cluster.api.write({"picker.yaml": BAD})
        cluster.api.refuses = Forbidden("events is forbidden")
        await until(lambda: policy.standing)
        await asyncio.sleep(1)
        cluster.api.refuses = None
        cluster.api.write({"picker.yaml": SECOND})
        await until(lambda: policy.given.text == SECOND.encode())


async def test_a_start_waits_for_a_map_that_comes_just_after_it() -> None:
    cluster = Cluster()
    cluster.api.write(None)
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(cluster.source.first())
        await asyncio.sleep(START_SECONDS / 2)
        assert not first.done()
        cluster.api.write({"picker.yaml": FIRST})
    assert first.result().text == FIRST.encode()


async def test_a_start_without_the_map_ends_with_the_reason() -> None:
    cluster = Cluster()
    cluster.api.write(None)
    with pytest.raises(ConfigError, match=r'prod/gateway/picker.yaml: configmaps "gateway" not'):
        await cluster.source.first()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param({"picker.yaml": BAD}, WRONG, id="broken"),
        pytest.param({"other": ""}, "data[picker.yaml]: is missing; there are: other", id="no key"),
        pytest.param({"picker.yaml": ""}, EMPTY, id="emptied"),
        pytest.param(None, "there is no such ConfigMap", id="deleted"),
    ],
)
async def test_a_start_over_a_map_that_cannot_be_used_serves_the_defaults_and_says_so(
    data: dict[str, str] | None, problem: str
) -> None:
    """The replacement of a pod that was lost must not wait for somebody to mend a ConfigMap."""
    cluster = Cluster(DEFAULTS)
    cluster.api.write(data)
    async with cluster.serving() as policy:
        await until(lambda: cluster.api.events)
        assert (policy.given, policy.standing, cluster.reloads) == (DEFAULTS, True, [False])
        message = f"not taken, the built-in default is in force: {problem}"
        assert cluster.said() == [("Warning", "ConfigurationRefused", message)]
        cluster.api.write({"picker.yaml": SECOND})
        await until(lambda: len(cluster.api.events) == 2)
        assert (policy.given.text, policy.standing) == (SECOND.encode(), False)
        assert cluster.reloads == [False, True]


def test_only_who_is_told_the_pods_by_flags_has_defaults_to_fall_back_to() -> None:
    from_file = b"plugins: [{type: file-discovery, parameters: {"
    for argv, text, fallback in [
        (["--config-map=a/b", "--pool-name=p"], BAD.encode(), DEFAULTS),
        (["--config-map=a/b", "--endpoint-selector=a", "--endpoint-target-ports=1"], b"", DEFAULTS),
        (["--config-map=a/b", "--pool-name=p"], from_file, None),
        (["--config-map=a/b"], b"", None),
        (["--pool-name=p"], b"", None),
    ]:
        assert fallback_of(parse(argv)[0], text) == fallback


async def test_a_start_that_is_given_up_is_said_on_the_object() -> None:
    cluster = Cluster()
    cluster.api.write({"picker.yaml": BAD})
    given = await cluster.source.first()
    with pytest.raises(Unusable) as caught:
        await asyncio.to_thread(in_force, given)
    await cluster.source.tell(caught.value)
    message = f"not taken, a start is given up: {WRONG}"
    assert cluster.said() == [("Warning", "ConfigurationRefused", message)]


def test_an_event_names_the_first_problems_and_counts_the_others() -> None:
    problems = tuple(Problem(f"plugins[{n}]", "is wrong") for n in range(MOST_IN_BRIEF + 2))
    refusal = Refusal(0, Origin("x"), problems)
    message = told(refusal, Given(b"", Origin("y")))
    assert message.count("is wrong") == MOST_IN_BRIEF
    assert message.endswith("; and 2 more, see the log")
