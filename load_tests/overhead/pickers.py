"""The pickers that are compared: those given by address, or our own gateway on each transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from load_tests.envoy_config import Address
from load_tests.fleet import GatewayPlan, gateway
from load_tests.process import cpu_seconds

TRANSPORTS = ("wire", "grpcio")


class BadPicker(ValueError):
    """Not ``name=host:port,pid[,tls]``; the message says so."""


@dataclass(frozen=True, slots=True)
class Picker:
    """An endpoint picker that is up, and the process (and its workers) whose CPU is counted."""

    name: str
    address: Address
    pid: int
    tls: bool = False

    def cpu_seconds(self) -> float:
        """User and system time so far, children included. Raises OSError if it is gone."""
        return sum(cpu_seconds(pid) for pid in (self.pid, *_descendants(self.pid)))


def parse(text: str) -> Picker:
    """A picker from ``name=host:port,pid[,tls]``. Raises BadPicker."""
    name, equals, rest = text.partition("=")
    where, *options = rest.split(",")
    host, _, port = where.rpartition(":")
    tls = options[1:] == ["tls"]
    if not (name and equals and host and port.isdigit() and options and options[0].isdigit()) or (
        options[1:] and not tls
    ):
        raise BadPicker(f"{text!r} is not name=host:port,pid[,tls]")
    return Picker(name, Address(host.strip("[]"), int(port)), int(options[0]), tls)


@asynccontextmanager
async def ours(
    transports: Sequence[str], endpoints: Sequence[Address], workdir: Path, flags: Sequence[str]
) -> AsyncIterator[tuple[Picker, ...]]:
    """Our gateway once per transport, as it ships but in plaintext, over ``endpoints``."""
    async with AsyncExitStack() as scope:
        pickers = []
        for name in transports:
            plan = GatewayPlan(tls=False, flags=(f"--transport={name}", *flags))
            running = await scope.enter_async_context(
                gateway(plan, endpoints, workdir, name=f"gateway-{name}")
            )
            pickers.append(Picker(name, running.address, running.process.pid))
        yield tuple(pickers)


def _descendants(pid: int) -> list[int]:
    """The processes that ``pid`` and its children have started."""
    found = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, listed.read_text().split()):
            found += [child, *_descendants(child)]
    return found
