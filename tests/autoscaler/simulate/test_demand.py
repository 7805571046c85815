"""Demand files: what they may say, and what is said of those that cannot be used."""

from __future__ import annotations

import numpy as np
import pytest

from autoscaler.simulate.demand import BadDemand, read_csv
from autoscaler.simulate.traces import expanded, read_any, servegen


def test_rows_hold_until_the_next_and_the_last_as_long_as_the_one_before() -> None:
    series = read_csv(["t_s,rate_rps,input_tokens,output_tokens", "0,10,100,20", "10,4,200,30"])
    assert series.rate_rps.tolist() == [10, 10, 4, 4]
    assert series.input_tokens.tolist() == [100, 100, 200, 200]
    assert series.prefix_hit.tolist() == [0, 0, 0, 0]


def test_columns_may_come_in_any_order_and_times_from_anywhere() -> None:
    series = read_csv(["prefix_hit,rate_rps,t_s", "0.5,3,1000", "0.25,6,1005"])
    assert series.rate_rps.tolist() == [3, 6]
    assert series.prefix_hit.tolist() == [0.5, 0.25]


def test_rows_finer_than_a_step_are_averaged_so_that_no_arrival_is_lost() -> None:
    rows = [f"{t},{10 if t % 2 else 0}" for t in range(10)]
    assert read_csv(["t_s,rate_rps", *rows]).rate_rps.tolist() == [4, 6]


def test_a_row_without_a_rate_keeps_the_load_and_hides_it() -> None:
    series = read_csv(["t_s,rate_rps", "0,8", "5,", "10,2"])
    assert series.rate_rps.tolist() == [8, 8, 2]
    assert series.recorded.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "demand: empty; the first line must be"),
        (["t_s,rate", "0,1"], "demand:1: unknown column 'rate', did you mean rate_rps?"),
        (["t_s,input_tokens", "0,1"], "demand:1: the column rate_rps is missing"),
        (["t_s,rate_rps", "0,many"], "demand:2: rate_rps is 'many', not a number"),
        (["t_s,rate_rps", "0,-1"], "demand:2: rate_rps is -1, out of range"),
        (["t_s,rate_rps", "0,1", "0,2"], "demand:3: t_s must be a number that grows"),
        (["t_s,rate_rps", "0,1,2"], "demand:2: 3 cells, not 2"),
        (["t_s,rate_rps", "0,"], "demand: no row has a rate"),
        (["t_s,rate_rps,rate_rps", "0,1,1"], "demand:1: the column rate_rps is there twice"),
        (["t_s;rate_rps", "0;1"], "demand:1: write commas between the columns"),
        (["t_s,rate_rps", "0,1e300"], "demand:2: rate_rps is 1e300, out of range"),
        (["t_s,rate_rps", "1767571200000,1"], "demand:2: t_s is 1767571200000, milliseconds"),
    ],
)
def test_a_bad_file_names_the_line_and_the_mend(lines: list[str], message: str) -> None:
    with pytest.raises(BadDemand) as error:
        read_csv(lines)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["# of May", "t_s,rate_rps", "0,x"], "d:3: rate_rps is 'x', not a number"),
        (["{}"], "d:1: timestamp is missing"),
        (["{'"], "d:1: not JSON"),
        (['{"timestamp": 1e400, "input_length": 1, "output_length": 1}'], "d:1: timestamp is inf"),
        (["{}".replace("}", '"timestamp": 0, "input_length": -1}')], "d:1: input_length is -1"),
        (["TIMESTAMP,ContextTokens,GeneratedTokens", "noon,1,1"], "d:2: TIMESTAMP is 'noon'"),
        (["TIMESTAMP,ContextTokens,GeneratedTokens"], "d: no requests below the header"),
        (["t_s,rate_rps,rate_weighted_cv", "0,,1"], "d:2: rate_rps is ''"),
        (["t_s,rate_rps,rate_weighted_cv", "0,1,1", "1e12,1,1"], "d: 11574074 days are more than"),
    ],
)
def test_a_bad_trace_names_its_line_whatever_the_format(lines: list[str], message: str) -> None:
    with pytest.raises(BadDemand) as error:
        read_any(lines, "d", np.random.default_rng(1))
    assert str(error.value).startswith(message)


def test_a_trace_begins_with_its_first_window() -> None:
    """Times may be dates: what lies before them is not demand that nobody recorded."""
    rates, _ = servegen(["t_s,rate_rps,rate_weighted_cv", "1767571200,7,1", "1767571800,8,1"], "s")
    assert rates.tolist() == [7, 8]


def test_formats_are_told_by_their_first_line() -> None:
    rng = np.random.default_rng(1)
    azure = [
        "TIMESTAMP,ContextTokens,GeneratedTokens\r\n",
        "2023-11-16 18:15:46.6805900,374,44\r\n",
    ]
    mooncake = ['{"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0]}']
    assert read_any(azure, "a", rng).input_tokens.tolist() == [374]
    assert read_any(mooncake, "m", rng).rate_rps.tolist() == [0.2]
    rates = ["t_s,rate_rps,active_clients,rate_weighted_cv", "0,100,3,1.5", "600,110,3,1.5"]
    assert len(read_any(rates, "s", rng)) == 240


def test_clients_of_a_rate_trace_are_summed_and_their_variances_with_them() -> None:
    rates, cvs = servegen(
        ["t_s,client,rate_rps,cv,pattern", "0,0,3,2,Gamma", "0,1,1,2,Gamma", "600,0,5,1,Gamma"], "s"
    )
    assert rates.tolist() == [4, 5]
    assert cvs.tolist() == [2, 1]


def test_a_window_keeps_its_rate_and_a_jump_stays_abrupt() -> None:
    rates = np.array([100.0, 102.0, 99.0, 101.0, 300.0, 298.0, 0.0, 303.0])
    series = expanded(rates, np.full(8, 1.0), np.random.default_rng(1)).reshape(8, 120)
    assert series.mean(axis=1)[[0, 3, 4, 7]] == pytest.approx(rates[[0, 3, 4, 7]], rel=0.03)
    assert series[3, -12:].mean() == pytest.approx(101, rel=0.06)
    assert series[4, :12].mean() == pytest.approx(300, rel=0.06)
    assert series[6].mean() == pytest.approx(300, rel=0.06)  # not recorded is not zero
