"""Google's measurements become profiles; what refuses says what to mend."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests

from autoscaler.capacity.bench import BadResult
from autoscaler.capacity.giq import read_benchmarks
from autoscaler.commands import giq_api, profile_import
from autoscaler.commands.giq_api import Giq
from autoscaler.commands.profile import _parser, main
from autoscaler.commands.profile_text import Wrong
from autoscaler.policy.model import load_policy
from tests.fakes.giq import (
    BASE_S,
    MODEL,
    OUTPUT,
    PREFILL_S,
    PRICE_PER_HOUR,
    RATES,
    SLOPE_S,
    FakeGiq,
    profile,
    serving,
    stats,
)


@pytest.fixture
def fake() -> Iterator[FakeGiq]:
    with serving(FakeGiq()) as made:
        yield made


def run(fake: FakeGiq, *words: str, status: int = 0, waits: list[float] | None = None) -> list[str]:
    """The lines that ``import giq`` prints."""
    given = _parser().parse_args(["import", "giq", *words])
    waited = [] if waits is None else waits
    with requests.Session() as session:
        api = Giq(session, address=fake.url, pause=waited.append)
        lines, found = profile_import.run(given, api)
    assert found == status
    return lines


def rows(fake: FakeGiq, *words: str, status: int = 0) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = json.loads(run(fake, *words, "--json", status=status)[0])
    return made


def test_every_accelerator_that_was_measured_gets_its_profile(fake: FakeGiq) -> None:
    """Within what whole milliseconds can tell; pages and answers of one load each are joined."""
    found = rows(fake, f"--model={MODEL}", "--slo-tpot=40ms")

    assert [each["accelerator"] for each in found] == ["nvidia-l4", "nvidia-h100-80gb"]
    assert [verb for verb, _ in fake.asked] == ["profiles:fetch"] * 2 + ["benchmarkingData:fetch"]
    first = found[0]
    assert (first["points"], first["leftOut"]) == (len(RATES), [])
    assert first["pricePerHour"] == {"on-demand": pytest.approx(PRICE_PER_HOUR, rel=0.001)}
    assert first["meanError"] < 0.03
    made = (
        load_policy(
            {"models": [{"name": "m", "profile": first["profile"]}], "pools": [{"name": "p"}]}
        )
        .models[0]
        .profile
    )
    assert made is not None
    assert made.decode_base_s == pytest.approx(BASE_S, rel=0.1)
    full = made.decode_per_sequence_s * OUTPUT + made.prefill_per_token_s * 512
    assert full == pytest.approx(SLOPE_S * OUTPUT + PREFILL_S * 512, rel=0.1)


def test_one_accelerator_and_its_text_can_be_pasted_into_a_policy(fake: FakeGiq) -> None:
    lines = run(fake, f"--model={MODEL}", "--accelerator=l4")
    assert lines[0] == "---"
    assert lines[1] == (
        f"# {MODEL} on nvidia-l4x1 (g2-standard-12), vllm v0.7.2, code completion, "
        "512 + 128 tokens:"
    )
    assert lines[2].endswith("; 3.60 dollars/h on-demand")
    text = "\n".join(f"  {line}" for line in lines[3].splitlines())
    assert load_policy(f"models:\n- name: m\n{text}\npools:\n- name: p\n").models[0].profile


def test_what_is_no_sweep_is_said_and_is_no_profile(fake: FakeGiq) -> None:
    fake.profiles = [profile(rates=RATES[-1:])]
    (line,) = run(fake, f"--model={MODEL}", status=1)
    assert line.startswith(f"# not {MODEL} on nvidia-l4x1")
    assert "1 usable results" in line


def test_a_model_that_was_not_measured(fake: FakeGiq) -> None:
    with pytest.raises(Wrong, match=r"not measured, did you mean google/gemma-2-9b-it\?"):
        run(fake, "--model=google/gemma-2-9b")
    with pytest.raises(Wrong, match=r"there are: google/gemma-2-9b-it on nvidia-h100-80gb, "):
        run(fake, f"--model={MODEL}", "--accelerator=h200")
    with pytest.raises(Wrong, match="--model: is missing"):
        run(fake)


DISABLED = {"details": [{"reason": "SERVICE_DISABLED"}], "message": "has not been used"}


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (401, {"message": "no token"}, "401 no token; gcloud auth application-default login"),
        (403, DISABLED, "gcloud services enable gkerecommender.googleapis.com"),
        (403, {"message": "no quota project"}, "with --project"),
        (400, {"message": "bad"}, "check --model, --model-server and --server-version"),
        (302, {}, "try again later"),
    ],
)
def test_a_refusal_names_its_mend_and_is_not_repeated(
    fake: FakeGiq, status: int, error: Mapping[str, Any], says: str
) -> None:
    fake.faults = [(status, {"error": error}, {})]
    with pytest.raises(Wrong) as caught:
        run(fake, f"--model={MODEL}")
    assert says in str(caught.value)
    assert len(fake.asked) == 1


def test_what_passes_is_waited_for(fake: FakeGiq) -> None:
    """As long as it says, else longer each time."""
    fake.faults = [(503, {}, {}), (429, {}, {"Retry-After": "7"}), (500, {}, {"Retry-After": "x"})]
    waits: list[float] = []
    assert run(fake, f"--model={MODEL}", waits=waits)[0] == "---"
    assert waits == [1.0, 7.0, 4.0]


@pytest.mark.parametrize(("headers", "asked"), [({}, giq_api.TRIES), ({"Retry-After": "3600"}, 1)])
def test_what_does_not_pass_is_given_up(
    fake: FakeGiq, headers: Mapping[str, str], asked: int
) -> None:
    fake.faults = [(429, {"error": {"message": "quota"}}, headers)] * 10
    with pytest.raises(Wrong, match="429 quota; wait a minute"):
        run(fake, f"--model={MODEL}")
    assert len(fake.asked) == asked


def test_pages_without_end_and_answers_of_no_form(fake: FakeGiq) -> None:
    fake.faults = [(200, {"nextPageToken": "again"}, {})] * (giq_api.MOST_PAGES + 1)
    with pytest.raises(Wrong, match="more than 100 pages"):
        run(fake, f"--model={MODEL}")
    fake.faults = [(200, [], {})]  # type: ignore[list-item]
    with pytest.raises(Wrong, match="not a JSON object"):
        run(fake, f"--model={MODEL}")
    fake.url = "http://127.0.0.1:9"
    with pytest.raises(Wrong, match="within reach"):
        run(fake, f"--model={MODEL}")


def test_saved_answers_need_no_credentials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the API, or the list that gcloud prints; without lengths the line must say them."""
    bare = profile()
    del bare["workloadSpec"]
    answer, listed = tmp_path / "answer.json", tmp_path / "list.json"
    answer.write_text(json.dumps({"profile": [profile()]}))
    listed.write_text(json.dumps([bare]))

    assert main(["import", "giq", "--from", str(answer), str(listed), "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["points"], second["profile"]) == (len(RATES), None)
    assert "averageInputLength is missing: give --input-tokens" in second["why"]

    assert main(["import", "giq", "--input-tokens=512", "--from", str(listed), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["profile"] == first["profile"]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("7", "neither an answer"),
        ('{"error": {"code": 403}}', "an error and no answer"),
        ('[{"acceleratorType": "x"}]', r"modelServerInfo\.model: is missing"),
        ('[{"modelServerInfo": {"model": "x"}}]', "acceleratorType: is missing"),
        ("{", "not JSON"),
    ],
)
def test_files_that_hold_no_answer(
    tmp_path: Path, document: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.json"
    file.write_text(document)
    assert main(["import", "giq", "--from", str(file)]) == 2
    with pytest.raises(AssertionError):
        assert capsys.readouterr().err == ""
    if says != "not JSON":
        with pytest.raises(BadResult, match=says):
            read_benchmarks([json.loads(document)], place=str(file))


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("queriesPerSecond", "NaN", ""),  # the lengths tell the rate
        ("outputTokensPerSecond", 0, "outputTokensPerSecond is missing"),
        ("ntpotMilliseconds", None, "ntpotMilliseconds is missing"),
        ("ttftMilliseconds", -5, "ttftMilliseconds is missing"),
        ("ttftMilliseconds", 99_000, "longer than the whole"),
    ],
)
def test_a_load_that_lacks_something_is_left_out_and_said(
    key: str, value: object, says: str
) -> None:
    loads = [{**stats(2.0), key: value}, stats(4.0)]
    (found,) = read_benchmarks([[profile(performanceStats=loads)]])
    assert found.left_out == ([f"performanceStats.{says}"] if says.endswith("missing") else []) or (
        says in found.left_out[0]
    )
    assert len(found.points) == (2 if not says else 1)
