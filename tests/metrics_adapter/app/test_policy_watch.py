"""A ConfigMap is followed through the API: good changes rule, bad ones are said on the object."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from loadstar.config.errors import ConfigError
from loadstar.kube.config_map import ConfigMapRef
from loadstar.kube.errors import Forbidden
from metrics_adapter.adapter_config import AdapterConfig
from metrics_adapter.metrics import Metrics
from metrics_adapter.policy_watch import MISSING, PolicyWatch
from tests.fakes.config_maps import FakeConfigMaps

REF = ConfigMapRef("prod", "gateway", "adapter.yaml")
pytestmark = pytest.mark.looptime


class LoopClock:
    """The loop's time, which these tests fake."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return 1_700_000_000 + self.now()


def text(staleness: str) -> dict[str, str]:
    return {"adapter.yaml": f"staleness: {staleness}\n"}


class Followed:
    """What an adapter takes of a ConfigMap of a fake API server."""

    def __init__(self, first: AdapterConfig | None = None) -> None:
        self.api = FakeConfigMaps()
        self.taken: list[float] = []
        self.metrics = Metrics()
        self.watch = PolicyWatch(
            REF,
            self.api,
            first or AdapterConfig(),
            self._use,
            self.metrics,
            clock=LoopClock(),
            rng=random.Random(1),
        )

    def _use(self, config: AdapterConfig) -> None:
        if config.staleness == 13:
            raise ConfigError.of("staleness", "is not what we like")
        self.taken.append(config.staleness)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            run = tasks.create_task(self.watch.run())
            await until(lambda: self.watch.looked)
            yield
            run.cancel()

    def said(self) -> list[tuple[str, str, str]]:
        """Type, reason and message of each Event."""
        return [(e["type"], e["reason"], e["message"]) for e in self.api.events]


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(600):
        while not holds():  # noqa: ASYNC110 -- what changes raises no event
            await asyncio.sleep(0.01)


async def test_a_change_is_in_force_as_soon_as_it_is_said() -> None:
    followed = Followed()
    followed.api.write(text("30s"))
    async with followed.running():
        assert followed.taken == [30]
        followed.api.write(text("45s"))
        await until(lambda: len(followed.taken) == 2)
        assert (followed.taken, followed.said()) == ([30, 45], [])


async def test_what_is_in_force_already_is_not_taken_again() -> None:
    followed = Followed(AdapterConfig(staleness=30))
    followed.api.write(text("30s"))
    async with followed.running():
        assert followed.taken == []


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(
            {"adapter.yaml": "stalenes: 1m"},
            "stalenes: unknown key, did you mean staleness?",
            id="broken",
        ),
        pytest.param(text("13s"), "staleness: is not what we like", id="refused when used"),
        pytest.param({"b": ""}, "data[adapter.yaml]: is missing; there are: b", id="no key"),
        pytest.param(None, MISSING, id="deleted"),
    ],
)
async def test_a_bad_change_leaves_what_was_good_and_is_said_once_on_the_object(
    data: dict[str, str] | None, problem: str
) -> None:
    followed = Followed()
    followed.api.write(text("30s"))
    async with followed.running():
        for _ in range(1 if data is None else 3):
            followed.api.write(data)
            await asyncio.sleep(1)
        refused = f"not taken, what is in force stays: {problem}"
        assert followed.said() == [("Warning", "ConfigurationRefused", refused)]
        assert followed.taken == [30]
        followed.api.write(text("30s"))
        await until(lambda: len(followed.api.events) == 2)
        assert followed.said()[1] == ("Normal", "ConfigurationTaken", "taken")
        assert followed.taken == [30]


async def test_an_adapter_that_starts_over_a_bad_one_is_there_and_says_why() -> None:
    followed = Followed()
    followed.api.write({"adapter.yaml": "{"})
    async with followed.running():
        await until(lambda: followed.api.events)
        assert followed.said()[0][1] == "ConfigurationRefused"
        followed.api.write(text("30s"))
        await until(lambda: followed.taken == [30])


async def test_without_the_right_to_read_it_an_adapter_is_there_all_the_same() -> None:
    followed = Followed()
    followed.api.write(text("30s"))
    followed.api.refuses = Forbidden("configmaps is forbidden")
    async with followed.running():
        assert followed.watch.problem is not None
        assert str(followed.watch.problem.problems[0]) == MISSING
        followed.api.refuses = None
        await until(lambda: followed.taken == [30])


async def test_it_does_not_say_that_it_looked_while_nobody_answers() -> None:
    followed = Followed()
    followed.api.go(away=True)
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(followed.watch.run())
        await asyncio.sleep(60)
        assert not followed.watch.looked
        followed.api.write(text("30s"))
        followed.api.go(away=False)
        await until(lambda: followed.watch.looked)
        run.cancel()
    assert followed.taken == [30]
