"""Logs: one line each, whatever is logged; bounded, whatever happens to the reader."""

from __future__ import annotations

import io
import json
import logging
import queue
import warnings

import pytest

from loadstar.config.errors import Problem
from loadstar.telemetry.logging import TRACE, VERBOSE, Enqueue, JsonLines, Repeats, level, logs

log = logging.getLogger("loadstar.test")


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_what_extra_added() -> None:
    stream = io.StringIO()
    with logs(2, "json", stream):
        log.info("took %s\nand %d", "this", 3, extra={"request_id": "r-1", "port": 9002})
    (line,) = lines(stream)
    assert line.pop("ts")
    assert line == {
        "level": "info",
        "logger": "loadstar.test",
        "msg": "took this\nand 3",
        "request_id": "r-1",
        "port": 9002,
    }


@pytest.mark.parametrize(
    ("logged", "shown"),
    [
        pytest.param("r-\udcff\udc80é", "r-\\xff\\x80é", id="bytes that are no UTF-8"),
        pytest.param("\ud800", "\\ud800", id="half a pair"),
        pytest.param(["a", {"\udcff": 1}], ["a", {"\\xff": 1}], id="deep inside"),
        pytest.param(1 << 70, str(1 << 70), id="more than 64 bits"),
        pytest.param((True, None, 1.5, "\udcff"), [True, None, 1.5, "\\xff"], id="beside others"),
    ],
)
def test_no_text_of_a_client_loses_a_line(logged: object, shown: object) -> None:
    stream = io.StringIO()
    with logs(4, "json", stream):
        log.info("routed", extra={"request_id": logged})
    (line,) = lines(stream)
    assert (line["msg"], line["request_id"]) == ("routed", shown)


def test_a_console_shows_odd_bytes_too() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with logs(4, "console", stream):
        log.info("routed", extra={"request_id": "r-\udcff"})
    stream.seek(0)
    assert "request_id=r-\\xff" in stream.read()


def test_libraries_only_warn_however_much_is_asked_for() -> None:
    stream = io.StringIO()
    with logs(5, "json", stream):
        logging.getLogger("numba.core.byteflow").debug("bytecode dump")
        logging.getLogger("hpack.hpack").debug("Decoded (b'authorization', b'secret')")
        logging.getLogger("grpc._cython.cygrpc").warning("a warning")
        log.debug("ours")
    assert [line["msg"] for line in lines(stream)] == ["a warning", "ours"]


def test_a_failure_keeps_its_trace_in_the_same_line() -> None:
    stream = io.StringIO()
    with logs(2, "json", stream):
        try:
            raise ValueError("bad")
        except ValueError:
            log.exception("failed")
    (line,) = lines(stream)
    assert "ValueError: bad" in str(line["trace"])


def test_a_console_line_reads_as_a_sentence() -> None:
    stream = io.StringIO()
    with logs(2, "console", stream):
        log.warning("watch %s", "out", extra={"port": 1})
    text = stream.getvalue()
    assert text[12:] == " WARNING loadstar.test  watch out  port=1\n"


@pytest.mark.parametrize(
    ("verbosity", "shown"),
    [
        pytest.param(0, ["error"], id="errors"),
        pytest.param(1, ["error", "warning"], id="warnings"),
        pytest.param(2, ["error", "warning", "info"], id="events"),
        pytest.param(3, ["error", "warning", "info", "verbose"], id="changes"),
        pytest.param(4, ["error", "warning", "info", "verbose", "debug"], id="requests"),
        pytest.param(5, ["error", "warning", "info", "verbose", "debug", "trace"], id="messages"),
        pytest.param(99, ["error", "warning", "info", "verbose", "debug", "trace"], id="all"),
    ],
)
def test_verbosity(verbosity: int, shown: list[str]) -> None:
    stream = io.StringIO()
    with logs(verbosity, "json", stream):
        for number in (
            logging.ERROR,
            logging.WARNING,
            logging.INFO,
            VERBOSE,
            logging.DEBUG,
            TRACE,
        ):
            log.log(number, "x")
    assert [line["level"] for line in lines(stream)] == shown
    assert level(verbosity) <= logging.ERROR


def test_warnings_of_libraries_become_lines() -> None:
    stream = io.StringIO()
    with logs(2, "json", stream), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old call", stacklevel=1)
    (line,) = lines(stream)
    assert line["logger"] == "py.warnings"
    assert "old call" in str(line["msg"])


def record(text: str, created: float, number: int = logging.ERROR) -> logging.LogRecord:
    made = logging.LogRecord("a", number, "", 0, text, (), None)
    made.created = created
    return made


def test_a_repeated_error_is_shown_a_few_times_and_then_summed_up() -> None:
    repeats = Repeats(limit=2, seconds=10)
    passed = [repeats.filter(record("same", at)) for at in (0.0, 1.0, 2.0, 3.0)]
    assert passed == [True, True, False, False]
    after = record("same", 11.0)
    assert repeats.filter(after)
    assert vars(after)["repeats_not_shown"] == 2


def test_other_errors_and_plain_events_are_not_held_back() -> None:
    repeats = Repeats(limit=1)
    assert repeats.filter(record("one", 0))
    assert repeats.filter(record("two", 0))
    assert all(repeats.filter(record("event", 0, logging.INFO)) for _ in range(5))


def test_each_problem_of_a_text_is_shown_however_many_there_are() -> None:
    repeats = Repeats(limit=1)

    def passes(path: str) -> bool:
        told = record("cannot start: %s", 0)
        told.args = (Problem(path, "unknown key"),)
        return repeats.filter(told)

    assert [passes(path) for path in ("a", "b", "c", "a")] == [True, True, True, False]


def test_what_is_remembered_of_repeats_is_bounded() -> None:
    repeats = Repeats(limit=1, kinds=2)
    for text in ("a", "b", "c"):
        repeats.filter(record(text, 0))
    assert repeats.filter(record("a", 0)), "the oldest kind was forgotten"
    assert not repeats.filter(record("c", 0))


def test_lines_that_nobody_takes_are_dropped_and_counted() -> None:
    """A reader that has stopped must not stop the gateway."""
    waiting: queue.Queue[logging.LogRecord] = queue.Queue(2)
    handler = Enqueue(waiting)
    for number in range(5):
        handler.handle(record(f"line {number}", 0))
    assert handler.dropped == 3
    waiting.get()
    handler.handle(record("again", 0))
    assert handler.dropped == 0
    last = [waiting.get() for _ in range(waiting.qsize())][-1]
    assert json.loads(JsonLines().format(last))["lines_dropped"] == 3


def test_the_loggers_are_as_before_afterwards() -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    with logs(5, "json", io.StringIO()):
        pass
    assert (list(root.handlers), root.level) == before
