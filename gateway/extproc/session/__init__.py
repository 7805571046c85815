"""The ext_proc conversation of one HTTP request, without IO: events in, commands out.

``Session`` is the whole of it; ``request`` and ``response`` are its two halves, which hardly
know each other. Hosts do not use this package directly: ``conduct.Conductor`` does.
"""

from __future__ import annotations

from gateway.extproc.session.limits import Limits
from gateway.extproc.session.room import Room
from gateway.extproc.session.session import Session

__all__ = ["Limits", "Room", "Session"]
