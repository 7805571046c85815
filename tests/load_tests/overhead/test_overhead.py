"""The whole tool, once: a real Envoy, our gateway on our own transport, one short burst."""

from __future__ import annotations

import json

import pytest

from load_tests.overhead.__main__ import main


@pytest.mark.envoy
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_overhead_measures_our_gateway(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(
        [
            "--workloads",
            "json,sse-64",
            "--connections",
            "2",
            "--seconds",
            "0.5",
            "--rounds",
            "1",
            "--transports",
            "wire,wire-headers",
            "--json",
        ]
    )
    measured = json.loads(capsys.readouterr().out)
    assert status == 0
    assert [(f["workload"], f["picker"], f["failed"]) for f in measured] == [
        ("json", "wire", 0),
        ("json", "wire-headers", 0),
        ("sse-64", "wire", 0),
        ("sse-64", "wire-headers", 0),
    ]
    assert all(f["cpu_us"] > 0 for f in measured)
    followed, let_go = measured[2:]
    assert let_go["versus_baseline"] == 1.0
    assert followed["messages"] > 60
    assert let_go["messages"] < 10
