"""Numbers of the command lines: the same mistake is told in the same words by every command."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import pytest

from load_tests import idle, soak, words
from load_tests.__main__ import main as load_tests
from load_tests.adapter.__main__ import main as adapter
from load_tests.emulator.__main__ import main as emulator
from load_tests.fuzz_wire.__main__ import main as fuzzing
from load_tests.local.__main__ import main as local
from load_tests.overhead.__main__ import main as overhead

Main = Callable[[Sequence[str]], int]


@pytest.mark.parametrize(
    ("read", "good", "bad"),
    [
        pytest.param(words.count, {"1": 1, "40": 40}, ["0", "-1", "1.5", "x", ""], id="count"),
        pytest.param(words.seed, {"0": 0}, ["-1", "0.0"], id="seed"),
        pytest.param(
            words.positive, {"0.5": 0.5, "1e3": 1e3}, ["0", "nan", "inf", "x"], id="above"
        ),
        pytest.param(words.at_least(0), {"0": 0.0}, ["-0.1", "nan", "inf"], id="at least"),
        pytest.param(words.port, {"1": 1, "65535": 65535}, ["0", "65536", "-1", "http"], id="port"),
        pytest.param(words.port_or_any, {"0": 0, "80": 80}, ["65536", ""], id="port or any"),
        pytest.param(words.several(words.count), {"8,100": [8, 100]}, ["8,", "8,0"], id="several"),
    ],
)
def test_a_number_is_read_or_refused(
    read: Callable[[str], object], good: dict[str, object], bad: list[str]
) -> None:
    for text, value in good.items():
        assert read(text) == value
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError, match="is not a"):
            read(text)


@pytest.mark.parametrize(
    ("main", "given", "says"),
    [
        (emulator, ["--count=0"], "--count: '0' is not a whole number of 1 or more"),
        (emulator, ["--noise=-1"], "--noise: '-1' is not a number of 0 or more"),
        (emulator, ["--port=65535", "--count=2"], "--count: 2 ports from 65535 on"),
        (load_tests, ["compare", "--servers=0"], "'0' is not a whole number of 1 or more"),
        (load_tests, ["compare", "--load=nan"], "--load: 'nan' is not a number above 0"),
        (load_tests, ["demo", "--seconds=0"], "--seconds: '0' is not a number above 0"),
        (load_tests, ["drive", "--to=h:1", "--rate=0"], "--rate: '0' is not a number above 0"),
        (load_tests, ["drive", "--to=h:0"], "--to: '0' is not a port (1 to 65535)"),
        (fuzzing, ["--seconds=x"], "--seconds: 'x' is not a number above 0"),
        (soak.main, ["--clients=0"], "--clients: '0' is not a whole number of 1 or more"),
        (local, ["--port=65536"], "--port: '65536' is not a port (1 to 65535)"),
        (local, ["--replicas=-1"], "--replicas: '-1' is not a whole number of 0 or more"),
        (adapter, ["--pods=10,0"], "--pods: '0' is not a whole number of 1 or more"),
        (overhead, ["--gap-ms=-1"], "--gap-ms: '-1' is not a number of 0 or more"),
    ],
)
def test_every_command_says_it_alike(
    main: Main, given: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(given)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_measuring_idle_gateways_says_it_so_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["idle", "--endpoints=8,x"])
    with pytest.raises(SystemExit):
        idle.main()
    assert "--endpoints: 'x' is not a whole number of 1 or more" in capsys.readouterr().err
