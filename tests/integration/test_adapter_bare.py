"""The command itself, with no cluster: started, asked, reconfigured, told to leave."""

from __future__ import annotations

import contextlib
import http.client
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import yaml

from loadstar.clock import SystemClock
from tests.controlplane.processes import wait_until
from tests.integration.adapter_lab import custom, external, free_port, tls_context

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

LEAVING_SECONDS = 2.0


class Bare:
    """The process and its files."""

    def __init__(self, folder: Path) -> None:
        self.samples, self.config = folder / "samples.json", folder / "adapter.yaml"
        self.port = free_port()
        self.log = folder / "log"
        self.tell(3)
        self.configure({})

    def tell(self, value: float) -> None:
        row = external("lab", "queue", value)
        described = {"object": {"kind": "Namespace", "name": "lab"}, "metric": "queue"}
        rows = [row, {**described, "value": value, "timestamp": "now"}]
        self.samples.write_bytes(orjson.dumps({"samples": rows}))

    def configure(self, more: dict[str, object]) -> None:
        source = {"type": "file", "path": str(self.samples)}
        self.config.write_text(yaml.safe_dump({"sources": [source], **more}))

    def get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=5, context=tls_context()
        )
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def status(self, path: str) -> int:
        """0 where nobody answers."""
        try:
            return self.get(path)[0]
        except OSError:
            return 0


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[tuple[Bare, subprocess.Popen[bytes]]]:
    made = Bare(tmp_path)
    command = [
        *(sys.executable, "-m", "loadstar.cli", "adapter", "--bare"),
        f"--secure-port={made.port}",
        f"--config={made.config}",
        f"--shutdown-delay-duration={LEAVING_SECONDS:g}s",
    ]
    with made.log.open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            wait_until(lambda: made.status("/readyz") == 200, within_s=20, what="it is ready")
            yield made, process
        finally:
            process.kill()


PATH = custom("lab", "metrics", "queue")


def test_it_serves_leaves_in_order_and_ends_with_zero(
    bare: tuple[Bare, subprocess.Popen[bytes]],
) -> None:
    made, process = bare
    wait_until(lambda: made.status(PATH) == 200, within_s=5, what="the sample is there")
    process.send_signal(signal.SIGTERM)
    clock = SystemClock()
    began = clock.now()
    wait_until(lambda: made.status("/readyz") == 500, within_s=1, what="it says that it leaves")
    assert made.status(PATH) == 200  # and still answers whoever has not heard
    assert process.wait(10) == 0
    assert clock.now() - began >= LEAVING_SECONDS * 0.9


def test_a_configuration_is_taken_when_good_and_said_when_not(
    bare: tuple[Bare, subprocess.Popen[bytes]],
) -> None:
    made, _ = bare
    wait_until(lambda: made.status(PATH) == 200, within_s=5, what="the sample is there")
    derived = {"name": "twice", "kind": "expression", "expression": "2 * queue"}
    known = {"name": "queue"}
    made.configure({"metrics": [known, derived]})
    twice = custom("lab", "metrics", "twice")
    wait_until(lambda: made.status(twice) == 200, within_s=5, what="the new metric is served")
    (item,) = orjson.loads(made.get(twice)[1])["items"]
    assert item["value"] == "6"
    made.configure({"metrics": [known, {**derived, "expression": "2 * queu"}]})
    wait_until(
        lambda: "did you mean queue" in made.log.read_text(),
        within_s=5,
        what="it says what is wrong",
    )
    assert made.status(twice) == 200


def test_a_command_line_that_is_wrong_ends_with_two() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "loadstar.cli", "adapter", "--secure-prot=1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "did you mean --secure-port?" in done.stderr
