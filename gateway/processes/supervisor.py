"""The parent of the collector and the workers: it starts them, restarts them, and ends them.

Small on purpose: it owns the port, the shared memory and the signals, and knows nothing of
requests. It starts the collector first, so that what is wrong with the configuration is said once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.config.flags import Flags
from gateway.datalayer.shared_memory import SharedMemory, create
from gateway.processes.acceptor import Acceptor, Taker
from gateway.processes.channel import CLOSED, READY, listen, pair
from gateway.processes.child import COLLECTOR, WORKER, command
from gateway.processes.cores import worker_count
from gateway.processes.heartbeat import LOOK_SECONDS as PULSE_SECONDS
from gateway.processes.heartbeat import Pulse
from gateway.processes.ports import open_port
from gateway.serving.drain import StopSignals
from gateway.serving.listen import shown

BACKOFF_SECONDS = 0.1
MOST_BACKOFF_SECONDS = 5.0
LONG_LIFE_SECONDS = 30.0
"""After one that lived so long, waiting begins anew at the shortest."""
LOOK_SECONDS = 0.05
GRACE_SECONDS = 5.0
"""Beyond the drain timeout, before a child is killed."""

UNHARMED = (0, -signal.SIGTERM, -signal.SIGINT)
"""Exit statuses that cut nothing off: a child that a signal ends has not begun to serve, for one
that serves takes the signals itself."""

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Seat:
    """One child's place, whoever sits there now."""

    role: str
    number: int
    started: asyncio.Event = field(default_factory=asyncio.Event)
    """Some child has been ready here."""
    ready: bool = False
    code: int = 0
    """Exit status of the last one."""
    process: asyncio.subprocess.Process | None = None
    line: socket.socket | None = None
    ports: list[int] = field(default_factory=list)
    """Of the collector, once it is ready: health and metrics."""
    pulse: Pulse = field(default_factory=Pulse)

    def __str__(self) -> str:
        return f"{self.role} {self.number}" if self.role == WORKER else self.role

    def signal(self, number: signal.Signals) -> None:
        """Send ``number`` to the child, if there is one."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)


class Supervisor:
    """Runs one gateway of several processes; ``run`` it once."""

    def __init__(self, flags: Flags, argv: Sequence[str], listening: socket.socket) -> None:
        """``argv`` is the command line, as every child is to read it."""
        self._flags = flags
        self._argv = argv
        self._port = int(listening.getsockname()[1])
        self._memory: SharedMemory = create(worker_count(flags))
        self._acceptor = Acceptor(listening)
        self._stopping = asyncio.Event()
        self._fatal: int | None = None

    async def run(self, signals: StopSignals) -> int:
        """Serve until a signal, then drain; the exit status."""
        collector = Seat(COLLECTOR, 0)
        workers = [Seat(WORKER, number) for number in range(self._memory.workers)]
        async with asyncio.TaskGroup() as tasks:
            collecting = tasks.create_task(self._keep(collector), name="collector")
            relaying = tasks.create_task(self._stop_on(signals), name="signals")
            watching = tasks.create_task(self._watch([*workers, collector]), name="pulses")
            await self._first(collector.started)
            keeping: list[asyncio.Task[None]] = []
            if not self._stopping.is_set():
                keeping = [tasks.create_task(self._keep(seat), name=str(seat)) for seat in workers]
                for seat in workers:
                    await self._first(seat.started)
            if not self._stopping.is_set():
                log.info(
                    "serving",
                    extra={
                        "address": shown(self._flags.bind_address),
                        "grpc_port": self._port,
                        **dict(zip(("health_port", "metrics_port"), collector.ports, strict=True)),
                        "workers": len(workers),
                        "tls": self._flags.secure_serving,
                    },
                )
                await self._stopping.wait()
            await self._drain([collector, *workers], keeping, signals)
            self._acceptor.close()
            if collector.line is not None:
                collector.line.shutdown(socket.SHUT_RDWR)  # its word to end
            await asyncio.wait((collecting,), timeout=GRACE_SECONDS)
            collector.signal(signal.SIGKILL)
            relaying.cancel()
            watching.cancel()
        if self._fatal is not None:
            return self._fatal
        return 0 if all(seat.code in UNHARMED for seat in workers) else 1

    async def _stop_on(self, signals: StopSignals) -> None:
        await signals.first.wait()
        self._stopping.set()

    async def _watch(self, seats: list[Seat]) -> None:
        """End a child whose loop no longer turns, so that ``_keep`` starts another.

        ``seats`` in the order of ``beats``. While draining nobody is ended for being slow.
        """
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            await asyncio.sleep(PULSE_SECONDS)
            for seat, beats in zip(seats, self._memory.beats.tolist(), strict=True):
                if not seat.ready:
                    seat.pulse.reset()
                elif seat.pulse.look(beats, loop.time()):
                    log.error("%s hangs: ending it", seat)
                    seat.pulse.reset()
                    seat.signal(signal.SIGKILL)

    async def _first(self, event: asyncio.Event) -> None:
        """Wait for ``event``, or for the end."""
        async with asyncio.TaskGroup() as tasks:
            waits = [tasks.create_task(each.wait()) for each in (event, self._stopping)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    async def _drain(
        self, seats: list[Seat], keeping: list[asyncio.Task[None]], signals: StopSignals
    ) -> None:
        """Tell every child to drain, and wait until the workers have."""
        number = signal.SIGTERM if signals.patient else signal.SIGINT
        for seat in seats:
            seat.signal(number)
        told = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._flags.drain_timeout + GRACE_SECONDS):
                while not all(task.done() for task in keeping):
                    if (signals.again or self._fatal is not None) and not told:
                        told = True
                        for seat in seats[1:]:
                            seat.signal(signal.SIGINT)
                    await asyncio.sleep(LOOK_SECONDS)
        for seat in seats[1:]:
            seat.signal(signal.SIGKILL)

    async def _keep(self, seat: Seat) -> None:
        """Keep a child in ``seat`` until the end. One that never was ready is a fatal mistake."""
        loop, delay = asyncio.get_running_loop(), BACKOFF_SECONDS
        while not self._stopping.is_set():
            began = loop.time()
            await self._live(seat)
            if self._stopping.is_set():
                return
            if not seat.started.is_set():
                self._fatal = seat.code if 0 < seat.code < 128 else 1
                self._stopping.set()
                return
            if loop.time() - began > LONG_LIFE_SECONDS:
                delay = BACKOFF_SECONDS
            log.error("%s ended (status %d), the next in %g s", seat, seat.code, delay)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stopping.wait()
            delay = min(delay * 2, MOST_BACKOFF_SECONDS)

    async def _live(self, seat: Seat) -> None:
        """One child's life, from its start until nothing of it is left."""
        ours, theirs = pair()
        memory = self._memory
        taker = Taker(ours)
        try:
            words = command(seat.role, seat.number, memory, theirs, self._argv)
            process = await asyncio.create_subprocess_exec(
                *words,
                pass_fds=(memory.fd, theirs.fileno()),
                start_new_session=True,  # a terminal's SIGINT is ours to pass on
            )
        finally:
            theirs.close()
        seat.process, seat.line = process, ours

        def said(message: bytes, _connection: socket.socket | None) -> None:
            if message == CLOSED:
                taker.connections -= 1
            elif message.startswith(READY):
                seat.ports = [int(port) for port in message.split()[1:]]
                log.info("%s ready", seat, extra={"child": process.pid})
                seat.ready = True
                seat.started.set()
                if seat.role == WORKER:
                    memory.serving[seat.number] = 1
                    self._acceptor.join(taker)

        listen(ours, said, lambda: None)
        try:
            seat.code = await process.wait()
        finally:
            seat.ready, seat.line = False, None
            self._acceptor.leave(taker)
            if ours.fileno() >= 0:
                asyncio.get_running_loop().remove_reader(ours)
                ours.close()
            if seat.role == WORKER:
                memory.bury(seat.number)


def supervise(flags: Flags, argv: Sequence[str]) -> int:
    """Be the supervisor until told to stop. Raises CannotListen."""
    listening = open_port("grpc-port", flags.bind_address, flags.grpc_port)

    async def run() -> int:
        signals = StopSignals()
        signals.listen()
        return await Supervisor(flags, argv, listening).run(signals)

    return asyncio.run(run())
