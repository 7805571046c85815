"""Stop signals, and the wait between the first of them and the end.

SIGTERM comes from an orchestrator: proxies may go on sending for as long as they have not heard
that we are NOT_SERVING, so the process serves on until streams have stopped coming. SIGINT comes
from a person at a terminal: only streams that are open are waited for. A second signal ends the
process at once.
"""

from __future__ import annotations

import asyncio
import logging
import signal

from gateway.extproc.streams import Streams
from loadstar.clock import Clock

log = logging.getLogger(__name__)

QUIET_SHARE = 1 / 6
"""Share of the drain timeout without any stream after which none is expected to come: 5 s of the
default 30 s, more than kube-proxy and a proxy's health check take to notice."""
LOOK_SECONDS = 0.05


class StopSignals:
    """What SIGTERM and SIGINT have asked for so far."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.again = False
        """A second one came."""
        self.patient = True
        """The first signal was SIGTERM."""

    def listen(self) -> None:
        """Take the signals of this process from here on. Call in the loop of the main thread."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.received, number)

    def ignore(self) -> None:
        """Give the signals back."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    def received(self, number: signal.Signals) -> None:
        """One signal came."""
        if self.first.is_set():
            self.again = True
            return
        self.patient = number == signal.SIGTERM
        self.first.set()
        log.info("%s received: draining, NOT_SERVING from now on", number.name)


async def drained(streams: Streams, timeout: float, clock: Clock, signals: StopSignals) -> bool:
    """Wait until no stream is open, and for the patient until none has come for a while.

    True when that happened; False when ``timeout`` seconds passed or a second signal came first.
    """
    quiet = timeout * QUIET_SHARE if signals.patient else 0.0
    began = clock.now()
    try:
        async with asyncio.timeout(timeout):
            while not signals.again:
                idle = streams.idle_seconds()
                # Streams that came before the signal say nothing of those that come after it.
                if idle is not None and min(idle, clock.now() - began) >= quiet:
                    return True
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        pass
    return streams.open == 0
