"""Flags that do not go together are refused, each by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoscaler.config import parse, usage
from loadstar.config.errors import ConfigError

TLS = "--prometheus-url=https://prometheus:9090"
PLAIN = "--prometheus-url=http://prometheus:9090"


def parsed(tmp_path: Path, *flags: str) -> str:
    """What is wrong with the flags; "" for nothing."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("")
    try:
        parse([f"--policy-file={policy}", "--demand-file=d.json", *flags])
    except ConfigError as error:
        return "; ".join(str(each) for each in error.problems)
    return ""


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ([PLAIN], ""),
        ([TLS, "--prometheus-token-file=t", "--prometheus-timeout=3s"], ""),
        ([TLS, '--prometheus-selector=cluster="a", namespace=~"x|y",'], ""),
        ([TLS, "--prometheus-selector=cluster=a"], "is not like cluster="),
        ([TLS, '--prometheus-selector=a="b"} or up{c="d"'], "is not like cluster="),
        (["--prometheus-url=prometheus:9090"], "is not an http URL"),
        ([PLAIN, "--prometheus-google-auth"], "a token is not sent without TLS"),
        ([TLS, "--prometheus-google-auth", "--prometheus-token-file=t"], "one of them"),
        ([TLS, "--prometheus-timeout=0s"], "must be more than 0"),
        (["--prometheus-token-file=t"], "is missing, and other flags speak of it"),
        (
            [TLS, "--local-fleet=http://x", "--clock-factor=9", "--clock-agreed-at=1"],
            "has no past there",
        ),
    ],
)
def test_flags_of_prometheus(tmp_path: Path, flags: list[str], says: str) -> None:
    found = parsed(tmp_path, *flags)
    assert (says in found) if says else (found == "")


def test_the_usage_tells_every_default_in_its_unit() -> None:
    assert "--prometheus-timeout duration  (default 15s)" in usage()
