"""The pickers that are compared: those given by address, or our own gateway in several ways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from gateway.config.picker import ResponseMode
from gateway.extproc.messages import BodyMode
from load_tests.envoy_config import Address
from load_tests.fleet import GatewayPlan, gateway
from load_tests.process import cpu_seconds

TRANSPORTS = ("wire", "grpcio")


@dataclass(frozen=True, slots=True)
class Ours:
    """One way to run our own gateway."""

    transport: str
    mode: ResponseMode = ResponseMode.FULL

    @property
    def name(self) -> str:
        full = self.mode is ResponseMode.FULL
        return self.transport if full else f"{self.transport}-{self.mode.value}"

    @property
    def plan(self) -> GatewayPlan:
        """As it ships, but in plaintext, and following responses as ``mode`` says."""
        processing = {"mode": self.mode.value}
        return GatewayPlan(
            config={} if self.mode is ResponseMode.FULL else {"responseProcessing": processing},
            tls=False,
            flags=(f"--transport={self.transport}",),
        )

    @property
    def response_body(self) -> BodyMode:
        """How Envoy sends responses: in duplex no stream may end at its response's headers, so
        a gateway that is to let go there needs another mode (``docs/designs/0002-transport.md``).
        """
        if self.mode is ResponseMode.FULL:
            return BodyMode.FULL_DUPLEX_STREAMED
        return BodyMode.STREAMED


OURS: Mapping[str, Ours] = MappingProxyType(
    {way.name: way for way in (Ours(t, mode) for mode in ResponseMode for t in TRANSPORTS)}
)


class BadPicker(ValueError):
    """Not ``name=host:port,pid[,tls]``, or no such port; the message says which."""


@dataclass(frozen=True, slots=True)
class Picker:
    """An endpoint picker that is up, and the process (and its workers) whose CPU is counted."""

    name: str
    address: Address
    pid: int
    tls: bool = False
    response_body: BodyMode = BodyMode.FULL_DUPLEX_STREAMED
    """How its Envoy sends it responses."""

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
    if not 1 <= int(port) <= 65535:
        raise BadPicker(f"{text!r}: {port} is not a port (1 to 65535)")
    return Picker(name, Address(host.strip("[]"), int(port)), int(options[0]), tls)


@asynccontextmanager
async def ours(
    names: Sequence[str], endpoints: Sequence[Address], workdir: Path, flags: Sequence[str]
) -> AsyncIterator[tuple[Picker, ...]]:
    """Our gateway once for each of ``names`` (of ``OURS``), over ``endpoints``."""
    async with AsyncExitStack() as scope:
        pickers = []
        for name in names:
            way = OURS[name]
            plan = replace(way.plan, flags=(*way.plan.flags, *flags))
            running = await scope.enter_async_context(
                gateway(plan, endpoints, workdir, name=f"gateway-{name}")
            )
            pickers.append(
                Picker(
                    name,
                    running.address,
                    running.process.pid,
                    response_body=way.response_body,
                )
            )
        yield tuple(pickers)


def _descendants(pid: int) -> list[int]:
    """The processes that ``pid`` and its children have started."""
    found = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, listed.read_text().split()):
            found += [child, *_descendants(child)]
    return found
