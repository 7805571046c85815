"""LoRA adapters in an engine's slots: which are loaded, which are in use, what loading costs.

Pure. Called by ``engine`` when it admits and when it releases a generation.
"""

from __future__ import annotations

from collections import OrderedDict

ADAPTER_SETUP_S = 0.0015
HOST_TO_DEVICE_BYTES_PER_S = 2e9


class AdapterSlots:
    """At most ``slots`` adapters on the device; an idle one makes room, least recent first."""

    def __init__(self, slots: int, adapter_bytes: float = 100e6) -> None:
        self.slots = slots
        self.load_seconds = ADAPTER_SETUP_S + adapter_bytes / HOST_TO_DEVICE_BYTES_PER_S
        self._users: OrderedDict[str, int] = OrderedDict()

    @property
    def running(self) -> list[str]:
        """Adapters in use, the least recently admitted first."""
        return [name for name, users in self._users.items() if users]

    def fits(self, adapter: str) -> bool:
        """Whether ``adapter`` is loaded or there is a slot that nobody uses."""
        return (
            adapter in self._users or len(self._users) < self.slots or not all(self._users.values())
        )

    def acquire(self, adapter: str) -> float:
        """Use ``adapter`` once more; seconds of loading, 0 if it was there. It must fit."""
        loading = 0.0
        if adapter not in self._users:
            loading = self.load_seconds
            if len(self._users) >= self.slots:
                idle = next(name for name, users in self._users.items() if not users)
                del self._users[idle]
            self._users[adapter] = 0
        self._users[adapter] += 1
        self._users.move_to_end(adapter)
        return loading

    def release(self, adapter: str) -> None:
        self._users[adapter] -= 1
