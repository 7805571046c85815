"""Past demand from a Prometheus: what is asked, what is believed, and what a bad one does to us."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from autoscaler.observe.history import History
from autoscaler.observe.past_demand import Chunk, questions, rows, window_minutes
from autoscaler.observe.prometheus import Address, opened, token_of_file
from autoscaler.observe.range_answers import AskLater, AskLess, AskNoMore, Span, refusal, values
from autoscaler.observe.recall import Past, Recall
from tests.fakes.prometheus import Curve, FakePrometheus, refused, serving

NOW_S = 1_763_985_600.0 + 30.0  # half a minute after a whole hour
NOW_MINUTE = int(NOW_S // 60)
DAY = 24 * 60


def rate_at(at_s: float) -> float:
    """A day's wave, in requests a second."""
    return 10.0 + 5.0 * math.sin(2.0 * math.pi * at_s / 86400.0)


def curves(**other: Curve) -> dict[str, Curve]:
    """What gateways that are scraped every 15 s have counted."""
    known: dict[str, Curve] = {
        "count_over_time": lambda _: 240.0,
        "request_total": rate_at,
        "error_code": lambda _: 2.0,
        "input_tokens_count": lambda _: 800.0,
        "output_tokens_count": lambda _: 200.0,
        "cached_tokens_sum": lambda _: 0.25,
    }
    return {**other, **known} if other else known


async def past(
    fake: FakePrometheus,
    known: History | None = None,
    *,
    days: int = 3,
    timeout_s: float = 5.0,
    within_s: float = 20.0,
) -> Past:
    address = Address(url=fake.url, token=token_of_file(""), timeout_s=timeout_s)
    async with opened(address) as api:
        recall = Recall(api.ask, selector="", within_s=within_s, kept_minutes=days * DAY)
        return await recall.past(
            "llama", known or History(), NOW_S, input_tokens=1000.0, output_tokens=250.0
        )


async def test_a_lost_history_comes_back_minute_by_minute() -> None:
    """Refused requests are demand too; tokens count as the mean of those that were told."""
    async with serving(FakePrometheus(curves())) as fake:
        found = await past(fake)

    assert found.problem is None
    assert found.first == NOW_MINUTE - 3 * DAY
    # The last minute's window has not ended half a minute into the next.
    assert found.minutes == 3 * DAY - 1
    minute = found.first + 100
    rate = rate_at((minute + 1) * 60) + 2.0
    assert found.rows[100].tolist() == pytest.approx([rate, rate * 800 * 0.75, rate * 200])
    assert np.isnan(found.rows[-1]).all()


async def test_only_what_is_missing_is_asked_for() -> None:
    """A restart of half an hour costs the probe and one short span of each question."""
    known = History()
    for minute in range(NOW_MINUTE - 3 * DAY, NOW_MINUTE - 30):
        known.add((minute + 1) * 60.0, 1.0, 1000.0, 200.0)
    async with serving(FakePrometheus(curves())) as fake:
        found = await past(fake, known)

    assert found.minutes == 29
    assert len(fake.asked) == 7
    spans = {(each["start"], each["end"]) for each in fake.asked[1:]}
    assert spans == {(str((NOW_MINUTE - 29) * 60), str((NOW_MINUTE - 1) * 60))}
    whole = known.filled(found.first, found.rows)
    assert whole.closed == NOW_MINUTE - 1
    assert whole.rows[-30:-28, 0].tolist() == pytest.approx(
        [1.0, rate_at((NOW_MINUTE - 29) * 60) + 2.0]
    )


async def test_where_nothing_was_scraped_nothing_is_asked_and_nothing_is_known() -> None:
    """Absence is no demand of zero; a Prometheus that came yesterday is asked about yesterday."""
    began_s = NOW_S - 86400.0

    def since(curve: Curve) -> Curve:
        return lambda at_s: curve(at_s) if at_s >= began_s else None

    told = {name: since(curve) for name, curve in curves().items()}
    async with serving(FakePrometheus(told)) as fake:
        found = await past(fake, days=15)
        assert {each["query"][:4] for each in fake.asked[:1]} == {"max("}
        assert all(float(each["start"]) >= began_s - 3600 for each in fake.asked[1:])

    assert np.isnan(found.rows[: 14 * DAY]).all()
    assert found.minutes == DAY - 1


async def test_values_that_are_no_numbers_are_gaps() -> None:
    def odd(at_s: float) -> float | None:
        minute = int(at_s // 60) % 10
        return {1: math.nan, 2: math.inf, 3: -math.inf, 4: None}.get(minute, 3.0)

    told = curves()
    told |= {"request_total": odd, "error_code": lambda _: None}
    async with serving(FakePrometheus(told)) as fake:
        found = await past(fake, days=1)

    known = ~np.isnan(found.rows[:, 0])
    minutes = np.arange(found.first, found.first + len(known)) + 1
    assert known[:-1].tolist() == [m % 10 not in (1, 2, 3, 4) for m in minutes[:-1]]
    assert np.nanmax(found.rows[:, 0]) == 3.0


async def test_a_span_that_is_too_much_is_halved() -> None:
    fake = FakePrometheus(curves())
    fake.most_points = 800
    async with serving(fake):
        found = await past(fake, days=2)

    assert found.problem is None
    assert found.minutes == 2 * DAY - 1


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (refused(401, "no"), AskNoMore, "--prometheus-token-file"),
        (refused(404, "page"), AskNoMore, "no Prometheus API at"),
        (refused(400, 'parse error: unexpected "}"'), AskNoMore, "--prometheus-selector"),
        (refused(503, "starting", "unavailable"), AskLater, "503: starting"),
        (refused(429, "slowly"), AskLater, "429: slowly"),
        (web.Response(status=502, text="<html>"), AskLater, "502: status 502"),
        (web.Response(status=302, headers={"Location": "/elsewhere"}), AskNoMore, "302"),
        (web.Response(text="<html>login</html>"), AskLater, "no answer of a Prometheus"),
        ("cut", AskLater, ""),
    ],
)
async def test_an_api_that_refuses(
    fault: web.Response | str, kind: type[Exception], says: str
) -> None:
    """It is told, and what was found before stays: the newest two days come first."""
    fake = FakePrometheus(curves())
    fake.faults = [None] * 7 + [fault] * 3
    async with serving(fake):
        found = await past(fake, days=4)

    assert isinstance(found.problem, kind)
    assert says in str(found.problem)
    assert found.minutes == 2 * DAY - 1


async def test_a_part_that_is_not_the_whole_is_not_believed() -> None:
    """A warning says that some store did not answer: its gateways would be missing in the sum."""
    fake = FakePrometheus(curves())
    fake.extra = {"warnings": ["partial response: store 2 is away"]}
    async with serving(fake):
        found = await past(fake)
    assert (found.minutes, type(found.problem)) == (0, AskLater)
    assert "store 2 is away" in str(found.problem)

    fake = FakePrometheus(curves())
    fake.extra = {"infos": ["metric might not be a counter"]}
    async with serving(fake):
        assert (await past(fake)).problem is None


async def test_an_api_that_hangs_costs_its_timeout_and_no_more() -> None:
    fake = FakePrometheus(curves())
    fake.faults = ["hang"] * 50
    async with serving(fake):
        found = await past(fake, days=1, timeout_s=0.05, within_s=0.4)
    assert found.minutes == 0
    assert isinstance(found.problem, AskLess)


async def test_a_token_is_read_each_time_and_goes_nowhere_else(tmp_path: Path) -> None:
    file = tmp_path / "token"
    await asyncio.to_thread(file.write_text, "one\n")
    fake = FakePrometheus(curves())
    async with serving(fake):
        address = Address(url=fake.url + "/", token=token_of_file(str(file)), timeout_s=5.0)
        async with opened(address) as api:
            await api.ask("request_total", Span(0, 2, 60))
            await asyncio.to_thread(file.write_text, "two\n")
            await api.ask("request_total", Span(0, 2, 60))
            await asyncio.to_thread(file.unlink)
            with pytest.raises(AskLater, match="No such file"):
                await api.ask("request_total", Span(0, 2, 60))
    assert fake.authorizations == ["Bearer one", "Bearer two"]


async def test_a_ca_file_that_is_none_is_said() -> None:
    address = Address(
        url="https://x", ca_file="/nowhere.pem", token=token_of_file(""), timeout_s=1.0
    )
    with pytest.raises(AskNoMore, match=r"--prometheus-ca-file /nowhere\.pem"):
        async with opened(address):
            pass


def test_questions_are_about_one_model_of_our_gateways() -> None:
    asked = questions('a"b', 'cluster="x"', 2)
    assert asked["arrivals"] == (
        'sum(rate(llm_d_epp_request_total{target_model_name="a\\"b",cluster="x"}[2m]))'
    )
    assert 'error_code!~"[0-9]+|BadRequest|PayloadTooLarge"' in asked["refused"]


@pytest.mark.parametrize(
    ("every_s", "minutes"), [(5, 1), (15, 1), (15.1, 1), (30, 2), (60, 4), (240, 10), (900, None)]
)
def test_a_rate_is_taken_over_four_scrapes(every_s: float, minutes: int | None) -> None:
    assert window_minutes(np.array([np.nan, 3600.0 / every_s])) == minutes


def test_a_long_window_is_centred_on_its_minute() -> None:
    """A trailing mean of four minutes would tell each ramp a minute and a half late."""
    assert Chunk(first=100, minutes=3).span(4) == Span(101 * 60 + 90, 3, 60)


def test_the_size_of_a_request_is_carried_and_its_absence_too() -> None:
    nan = np.nan
    found = {
        "arrivals": np.array([1.0, 2.0, nan, 4.0]),
        "refused": np.array([nan, 1.0, nan, nan]),
        "queue growth": np.array([nan, -10.0, nan, 0.5]),
        "input tokens": np.array([nan, 100.0, nan, nan]),
        "output tokens": np.full(4, nan),
        "prefix hit": np.array([nan, nan, 0.5, 1.2]),
    }
    expected = [[1.0, 50.0, 7.0], [0.0, 0.0, 0.0], [nan] * 3, [4.5, 0.0, 31.5]]
    assert rows(found, 900.0, 7.0) == pytest.approx(np.array(expected), nan_ok=True)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {"status": "error", "error": "x"},
        {"status": "success", "data": {"resultType": "vector", "result": []}},
        {"status": "success", "data": {"resultType": "matrix", "result": [{}, {}]}},
        {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}}]}},
    ],
)
def test_what_is_no_answer_to_a_range_query(answer: object) -> None:
    with pytest.raises(AskLater):
        values(answer, Span(0, 3, 60))


def test_samples_outside_the_span_or_of_no_form_are_left_out() -> None:
    samples: list[object] = [[-60, "1"], [0, "2"], [60, "x"], 7, [119, "3"], ["a", "b"]]
    result = [{"metric": {}, "values": samples[:3]}, {"metric": {}, "values": samples[3:]}]
    answers = [
        {"status": "success", "data": {"resultType": "matrix", "result": [each]}} for each in result
    ]
    assert [values(a, Span(0, 3, 60)).tolist() for a in answers] == [
        pytest.approx([2.0, np.nan, np.nan], nan_ok=True),
        pytest.approx([np.nan, np.nan, 3.0], nan_ok=True),
    ]


def test_refusals_of_google_and_of_prometheus_are_read_alike() -> None:
    google = refusal(403, {"error": {"code": 403, "message": "denied on project p"}})
    assert isinstance(google, AskNoMore)
    assert "denied on project p" in str(google)
    assert isinstance(refusal(422, {"error": "loads too many samples"}), AskLess)
    assert isinstance(refusal(503, {"errorType": "timeout", "error": "query timed out"}), AskLess)
