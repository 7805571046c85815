"""The scraper against model servers in process: what it learns, and what it shrugs off."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.config.data_sources import CoreMetrics, MetricsSource
from gateway.datalayer.discovered import EndpointSpec
from gateway.datalayer.extract.catalog import engines
from gateway.datalayer.inflight import InFlight
from gateway.datalayer.scrape import Scraper
from gateway.datalayer.scrape_plan import Pace
from gateway.datalayer.state import NEVER, Endpoint
from gateway.datalayer.store import Datastore
from loadstar.clock import SystemClock
from tests.fakes.model_server import CALM, Manner, ModelServer, load_page

FAST = Pace(busy=0.01, idle=0.03, ceiling=0.1, dead=0.05)
ENGINES = engines(CoreMetrics())
"""Made here, where there is no loop yet, as at start: kernels are compiled with it."""
PATIENCE = 5.0


class Tally:
    """ScrapeCounts that can be read."""

    def __init__(self) -> None:
        self.pages = 0
        self.failures: Counter[str] = Counter()
        self.incomplete = 0

    def scraped(self, seconds: float) -> None:
        assert 0 <= seconds < PATIENCE
        self.pages += 1

    def scrape_failed(self, source_type: str, reason: str) -> None:
        assert source_type == "metrics-data-source"
        self.failures[reason] += 1

    def extract_failed(self, source_type: str, extractor_type: str) -> None:
        assert (source_type, extractor_type) == ("metrics-data-source", "core-metrics-extractor")
        self.incomplete += 1


def spec(name: str, server: ModelServer, **labels: str) -> EndpointSpec:
    return EndpointSpec(name=name, address="127.0.0.1", port=server.port, labels=labels)


@asynccontextmanager
async def scraping(
    *specs: EndpointSpec,
    pace: Pace = FAST,
    source: MetricsSource | None = None,
    timeout: float = 0.2,
) -> AsyncIterator[tuple[Datastore, Tally]]:
    """A store of ``specs`` that is being scraped."""
    store, tally = Datastore(), Tally()
    store.sync(specs)
    scraper = Scraper(
        store,
        ENGINES,
        source=MetricsSource() if source is None else source,
        pace=pace,
        clock=SystemClock(),
        rng=random.Random(1),
        counts=tally,
        timeout=timeout,
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(scraper.run())
        yield store, tally
        running.cancel()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - nothing announces what these tests wait for
            await asyncio.sleep(0.002)


async def until_pages(tally: Tally, more: int) -> None:
    wanted = tally.pages + more
    await until(lambda: tally.pages >= wanted)


def member(store: Datastore, name: str) -> Endpoint:
    found = store.endpoint("default", name)
    assert found is not None
    return found


def waiting(store: Datastore, name: str) -> float:
    return float(store.columns.waiting[member(store, name).slot])


async def test_the_columns_follow_the_pages() -> None:
    async with (
        ModelServer(load_page(3, 2, 0.5)) as a,
        ModelServer(load_page(7)) as b,
        scraping(spec("a", a), spec("b", b)) as (store, tally),
    ):
        await until(lambda: waiting(store, "a") == 3 and waiting(store, "b") == 7)
        slot = member(store, "a").slot
        assert (store.columns.running[slot], store.columns.kv_used[slot]) == (2.0, 0.5)
        a.page = load_page(4)
        await until(lambda: waiting(store, "a") == 4)
        assert not tally.failures
        assert tally.pages >= 3


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        (Manner.HANGS, "timeout"),
        (Manner.DRIPS, "timeout"),
        (Manner.HUGE, "too_large"),
        (Manner.HALF, "closed"),
        (Manner.CLOSES, "closed"),
        (Manner.ERROR, "status"),
        (Manner.GARBAGE, "malformed"),
    ],
)
async def test_a_bad_server_harms_only_itself(manner: Manner, reason: str) -> None:
    async with (
        ModelServer() as good,
        ModelServer(manner=manner) as bad,
        scraping(spec("good", good), spec("bad", bad), timeout=0.4) as (store, tally),
    ):
        await until(lambda: tally.failures[reason] >= 2)
        assert set(tally.failures) == {reason}
        asked = good.requests
        await until(lambda: good.requests >= asked + 5)
        assert store.columns.observed_at[member(store, "bad").slot] == NEVER
        bad.manner, bad.page = Manner.FINE, load_page(9)
        await until(lambda: waiting(store, "bad") == 9)


async def test_a_slow_server_does_not_delay_another() -> None:
    async with ModelServer() as quick, ModelServer(manner=Manner.SLOW) as slow:
        slow.delay = 0.15
        async with scraping(spec("quick", quick), spec("slow", slow)) as (_, tally):
            await until(lambda: slow.requests >= 3)
            assert quick.requests >= 3 * slow.requests
            assert not tally.failures


async def test_the_last_numbers_stay_when_a_server_dies() -> None:
    """Their age tells; zero would say that it is idle."""
    async with ModelServer(load_page(5)) as server, scraping(spec("a", server)) as (store, tally):
        await until(lambda: waiting(store, "a") == 5)
        seen_at = store.columns.observed_at[0]
        await server.stop()
        await until(lambda: tally.failures["connect"] >= 2)
        failed_at = store.columns.observed_at[0]
        await until(lambda: tally.failures["connect"] >= 4)
        assert waiting(store, "a") == 5
        assert seen_at <= failed_at == store.columns.observed_at[0]


async def test_a_page_of_another_kind_makes_the_endpoint_unknown() -> None:
    async with ModelServer(load_page(5)) as server, scraping(spec("a", server)) as (store, tally):
        await until(lambda: waiting(store, "a") == 5)
        server.page = b"<html>please log in</html>"
        await until(lambda: tally.incomplete >= 2)
        assert math.isnan(waiting(store, "a"))
        assert store.columns.observed_at[0] == NEVER
        server.page = load_page(6)
        await until(lambda: waiting(store, "a") == 6)


async def test_a_signal_that_goes_becomes_unknown() -> None:
    async with (
        ModelServer(load_page(5, 2)) as server,
        scraping(spec("a", server)) as (store, tally),
    ):
        await until(lambda: waiting(store, "a") == 5)
        server.page = b"vllm:num_requests_running 1\nvllm:num_requests_waiting NaN\n"
        await until(lambda: math.isnan(waiting(store, "a")))
        assert store.columns.running[0] == 1.0
        assert tally.incomplete >= 1


async def test_endpoints_come_go_and_move() -> None:
    async with (
        ModelServer(load_page(1)) as a,
        ModelServer(load_page(2)) as b,
        scraping(spec("a", a)) as (store, _),
    ):
        await until(lambda: waiting(store, "a") == 1)
        store.sync([spec("a", a), spec("b", b)])
        await until(lambda: waiting(store, "b") == 2)
        store.sync([spec("a", b)])
        await until(lambda: waiting(store, "a") == 2)
        await asyncio.sleep(0.05)
        asked = a.requests
        store.sync([])
        await asyncio.sleep(0.1)
        assert a.requests == asked
        assert b.requests > 0


async def test_labels_and_metrics_port_take_effect_at_once() -> None:
    tgi = b"tgi_queue_size 8\ntgi_batch_current_size 1\n"
    async with (
        ModelServer(load_page(1)) as vllm,
        ModelServer(tgi) as other,
        scraping(spec("a", vllm)) as (store, _),
    ):
        await until(lambda: waiting(store, "a") == 1)
        store.sync(
            [
                EndpointSpec(
                    name="a",
                    address="127.0.0.1",
                    port=vllm.port,
                    metrics_port=other.port,
                    labels={"llm-d.ai/engine-type": "tgi"},
                )
            ]
        )
        await until(lambda: waiting(store, "a") == 8)


async def test_one_port_for_all_where_the_source_says_so() -> None:
    async with ModelServer(load_page(4)) as metrics:
        endpoint = EndpointSpec(name="a", address="127.0.0.1", port=1)
        async with scraping(endpoint, source=MetricsSource(port=metrics.port)) as (store, _):
            await until(lambda: waiting(store, "a") == 4)


async def test_other_rules_rule_from_the_next_page_on() -> None:
    async with ModelServer(load_page(4)) as old, ModelServer(load_page(9)) as new:
        store = Datastore()
        store.sync([EndpointSpec(name="a", address="127.0.0.1", port=1)])
        readers = engines(CoreMetrics())
        scraper = Scraper(
            store,
            readers,
            source=MetricsSource(port=old.port),
            pace=FAST,
            clock=SystemClock(),
            rng=random.Random(1),
        )
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(scraper.run())
            await until(lambda: waiting(store, "a") == 4)
            scraper.reconfigure(readers, MetricsSource(port=new.port), FAST, None)
            await until(lambda: waiting(store, "a") == 9)
            running.cancel()


async def test_an_unknown_engine_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.datalayer.scrape")
    label = {"llm-d.ai/engine-type": "llamacpp"}
    async with (
        ModelServer(load_page(3)) as a,
        ModelServer(load_page(3)) as b,
        scraping(spec("a", a, **label), spec("b", b, **label)) as (store, _),
    ):
        await until(lambda: waiting(store, "a") == 3 and waiting(store, "b") == 3)
        await until(lambda: a.requests > 3)
    [record] = caplog.records
    assert record.getMessage() in [
        f"default/{name} runs 'llamacpp', an engine not known: read as vllm" for name in ("a", "b")
    ]


async def test_the_log_speaks_of_a_dead_server_once_and_of_its_return(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "gateway.datalayer.scrape")
    async with (
        ModelServer(manner=Manner.ERROR) as server,
        scraping(spec("a", server)) as (store, tally),
    ):
        await until(lambda: tally.failures["status"] >= 6)
        server.manner = Manner.FINE
        await until(lambda: waiting(store, "a") == 0)
    assert [record.getMessage() for record in caplog.records] == [
        "metrics of default/a do not come: status: answered 500",
        "metrics of default/a come again",
    ]


async def test_the_log_says_once_what_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.datalayer.scrape")
    async with (
        ModelServer(b"no metrics") as server,
        scraping(spec("a", server)) as (store, tally),
    ):
        for page in (b"no metrics", load_page(1), b"vllm:num_requests_waiting 2\n") * 2:
            server.page = page
            await until_pages(tally, 2)
        assert waiting(store, "a") == 2
    assert [record.getMessage() for record in caplog.records if "lack" in record.getMessage()] == [
        "metrics of default/a, read as vllm, lack waiting, running, kv_used",
        "metrics of default/a, read as vllm, lack running, kv_used",
    ]
    assert caplog.text.count("come again") <= 2


async def test_a_resting_endpoint_is_asked_again_when_a_request_goes_there() -> None:
    """Long before its turn: its numbers are about to change."""
    lazy = Pace(busy=0.01, idle=30.0, ceiling=30.0, dead=30.0)
    async with ModelServer(CALM) as server, scraping(spec("a", server), pace=lazy) as (store, _):
        await until(lambda: server.requests >= 5)
        await asyncio.sleep(0.2)
        resting = server.requests
        assert resting < 12
        credit = InFlight(lambda: store.columns).take(member(store, "a"), 10, 10)
        await until(lambda: server.requests >= resting + 4)
        InFlight(lambda: store.columns).give_back(credit)


async def test_a_bug_of_ours_harms_one_endpoint(caplog: pytest.LogCaptureFixture) -> None:
    """Port -1 is nothing that the client is ready for."""
    poisoned = EndpointSpec(name="bad", address="127.0.0.1", port=1, metrics_port=-1)
    async with (
        ModelServer(load_page(2)) as good,
        scraping(spec("good", good), poisoned) as (store, tally),
    ):
        await until(lambda: tally.failures["internal"] >= 3)
        await until(lambda: waiting(store, "good") == 2)
        asked = good.requests
        await until(lambda: good.requests > asked + 3)
    assert caplog.text.count("scraping default/bad failed inside the gateway") == 1


async def test_cancelling_closes_every_connection() -> None:
    async with ModelServer() as server:
        async with scraping(spec("a", server)):
            await until(lambda: server.requests >= 2)
        await until(lambda: not server.connected)
