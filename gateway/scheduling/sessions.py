"""Which endpoint a session belongs to: told by the client's token, or remembered by its id.

Shared by the session scorer and the session filter, which differ in how hard they hold on to it.
No clock of its own: bindings age by the ``now`` of the requests that pass.
"""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple, Protocol

from gateway.datalayer.state import Endpoint
from gateway.scheduling.types import Candidates, Cycle, Decision
from loadstar.config.load import above, key, one_of

TOKEN_HEADER = "x-session-token"
ID_HEADER = "x-session-id"
MAX_TOKEN = 1024
"""Characters of a token; a Kubernetes namespace and name are 317 at most."""
MAX_ID = 512
MAX_BINDINGS = 100_000
"""Sessions remembered; the least recently used go first."""

ENCODED = "encoded_endpoint_header"
SESSION_ID = "session_id"


@dataclass(frozen=True, slots=True)
class TokenConfig:
    header: str = TOKEN_HEADER


@dataclass(frozen=True, slots=True)
class IdSource:
    """One place to read a session's id from; a header, in this version."""

    header: str = ""
    attribute: str = ""
    producer: str = ""

    def __post_init__(self) -> None:
        if bool(self.header) == bool(self.attribute):
            raise ValueError("exactly one of header and attribute must be set")
        if self.attribute:
            raise ValueError(
                f'the attribute "{self.attribute}" is not there: no plugin that sets request '
                "attributes is built; use a header"
            )


@dataclass(frozen=True, slots=True)
class IdConfig:
    sources: tuple[IdSource, ...] = (IdSource(header=ID_HEADER),)
    eviction_ttl_seconds: Annotated[float, above(0)] = 300.0
    eviction_sweep_seconds: Annotated[float, above(0)] = 10.0
    """Accepted; expired bindings are dropped as requests pass, there is no sweep."""


@dataclass(frozen=True, slots=True)
class SessionParameters:
    """``session-affinity-scorer`` and ``session-affinity-filter``."""

    strategy: Annotated[str, one_of(ENCODED, SESSION_ID)] = ENCODED
    encoded_endpoint_header_config: TokenConfig = TokenConfig()
    session_id_config: IdConfig = field(default=IdConfig(), metadata=key("sessionIdConfig"))
    profile_name: str = ""
    """Whose pick is the session's endpoint; the primary profile's if empty."""


class Sessions(Protocol):
    """One way to tell a session's endpoint."""

    def home(self, cycle: Cycle, candidates: Candidates) -> int | None:
        """Index of the session's endpoint among the candidates; None without a preference."""
        ...

    def picked(self, cycle: Cycle, decision: Decision) -> None: ...

    def served(self, cycle: Cycle, decision: Decision, endpoint: Endpoint) -> None: ...

    def left(self, endpoint: Endpoint) -> None: ...

    def response_headers(self, cycle: Cycle, endpoint: Endpoint) -> Sequence[tuple[str, str]]: ...


@dataclass(frozen=True, slots=True)
class KeepsSessions:
    """What a plugin passes on to the sessions it goes by; the filter and the scorer build on it."""

    sessions: Sessions

    def picked(self, cycle: Cycle, decision: Decision) -> None:
        self.sessions.picked(cycle, decision)

    def served(self, cycle: Cycle, decision: Decision, endpoint: Endpoint) -> None:
        self.sessions.served(cycle, decision, endpoint)

    def left(self, endpoint: Endpoint) -> None:
        self.sessions.left(endpoint)

    def response_headers(self, cycle: Cycle, endpoint: Endpoint) -> Sequence[tuple[str, str]]:
        return self.sessions.response_headers(cycle, endpoint)


def sessions(parameters: SessionParameters) -> Sessions:
    if parameters.strategy == SESSION_ID:
        return RememberedSessions(parameters.session_id_config, parameters.profile_name)
    header = parameters.encoded_endpoint_header_config.header
    return TokenSessions(header.strip().lower() or TOKEN_HEADER, parameters.profile_name)


class Places:
    """Endpoint id -> slot of one membership, made once per epoch rather than once per request."""

    def __init__(self) -> None:
        self._members: tuple[Endpoint, ...] | None = None
        self._slots: Mapping[str, int] = {}

    def index(self, endpoint_id: str, cycle: Cycle, candidates: Candidates) -> int | None:
        """Where ``endpoint_id`` stands among the candidates; None if it does not."""
        members = cycle.state.endpoints
        if members is not self._members:
            self._slots = {endpoint.id: endpoint.slot for endpoint in members}
            self._members = members
        slot = self._slots.get(endpoint_id)
        if slot is None:
            return None
        found = (candidates.slots == slot).nonzero()[0]
        return int(found[0]) if found.size else None


class TokenSessions:
    """The client carries its endpoint: base64 of ``namespace/name``, from a response header.

    A token that is no such thing, or names an endpoint that is not a candidate, is no preference.
    """

    def __init__(self, header: str = TOKEN_HEADER, profile: str = "") -> None:
        self._header = header
        self._profile = profile
        self._places = Places()

    def home(self, cycle: Cycle, candidates: Candidates) -> int | None:
        name = endpoint_of(cycle.request.headers.get(self._header))
        return self._places.index(name, cycle, candidates) if name else None

    def picked(self, cycle: Cycle, decision: Decision) -> None:
        if self._profile:
            cycle.notes[self] = _profiles_pick(decision, self._profile)

    def served(self, cycle: Cycle, decision: Decision, endpoint: Endpoint) -> None:
        """The response's header will name whoever served; there is nothing to remember."""

    def left(self, endpoint: Endpoint) -> None:
        """Tokens are kept by the clients."""

    def response_headers(self, cycle: Cycle, endpoint: Endpoint) -> Sequence[tuple[str, str]]:
        pinned = cycle.notes.get(self) if self._profile else endpoint
        if not isinstance(pinned, Endpoint):
            return ()
        return ((self._header, token_of(pinned)),)


def token_of(endpoint: Endpoint) -> str:
    return base64.b64encode(endpoint.id.encode()).decode()


def endpoint_of(token: str) -> str:
    """The endpoint id in ``token``; "" if it is none."""
    if not token or len(token) > MAX_TOKEN:
        return ""
    try:
        return base64.b64decode(token, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


class _Binding(NamedTuple):
    endpoint_id: str
    last_seen: float


class _Seen(NamedTuple):
    """What ``home`` found, for ``picked``: a session moves only if its endpoint was not there."""

    session: str
    present: bool


class RememberedSessions:
    """The client has an id of its own; the gateway remembers where its last request went.

    A session moves only when its endpoint is not among the candidates; a picker that chooses
    another does not move it. Bindings unused for the TTL are forgotten, the oldest first when
    there are more than ``MAX_BINDINGS``.
    """

    def __init__(
        self, config: IdConfig, profile: str = "", max_bindings: int = MAX_BINDINGS
    ) -> None:
        self._headers = tuple(source.header.strip().lower() for source in config.sources)
        self._ttl = config.eviction_ttl_seconds
        self._profile = profile
        self._max_bindings = max_bindings
        self._bindings: OrderedDict[str, _Binding] = OrderedDict()
        """By session, the least recently used first."""
        self._places = Places()

    def __len__(self) -> int:
        return len(self._bindings)

    def home(self, cycle: Cycle, candidates: Candidates) -> int | None:
        session = self._session(cycle)
        if not session:
            return None
        self._expire(cycle.now)
        binding = self._bindings.get(session)
        if binding is None:
            return None
        index = self._places.index(binding.endpoint_id, cycle, candidates)
        cycle.notes[self] = _Seen(session, index is not None)
        return index

    def picked(self, cycle: Cycle, decision: Decision) -> None:
        session = self._session(cycle)
        pick = _profiles_pick(decision, self._profile) if session else None
        if pick is None:
            return
        binding = self._bindings.get(session)
        seen = cycle.notes.get(self)
        absent = isinstance(seen, _Seen) and not seen.present
        if binding is not None and binding.endpoint_id != pick.id and not absent:
            return
        self._bind(session, pick, cycle.now)

    def served(self, cycle: Cycle, decision: Decision, endpoint: Endpoint) -> None:
        """Who served holds the session's cache now, if the first pick was its home."""
        session = self._session(cycle)
        pick = _profiles_pick(decision, self._profile) if session else None
        binding = self._bindings.get(session)
        if not self._profile and pick and binding and binding.endpoint_id == pick.id:
            self._bind(session, endpoint, cycle.now)

    def left(self, endpoint: Endpoint) -> None:
        """Its sessions find it absent and move when they next come."""

    def response_headers(self, cycle: Cycle, endpoint: Endpoint) -> Sequence[tuple[str, str]]:
        return ()

    def _session(self, cycle: Cycle) -> str:
        for header in self._headers:
            value = cycle.request.headers.get(header).strip()
            if value:
                return value[:MAX_ID]
        return ""

    def _bind(self, session: str, endpoint: Endpoint, now: float) -> None:
        self._bindings[session] = _Binding(endpoint.id, now)
        self._bindings.move_to_end(session)
        if len(self._bindings) > self._max_bindings:
            self._bindings.popitem(last=False)

    def _expire(self, now: float) -> None:
        while self._bindings:
            oldest = next(iter(self._bindings.values()))
            if now - oldest.last_seen <= self._ttl:
                return
            self._bindings.popitem(last=False)


def _profiles_pick(decision: Decision, profile: str) -> Endpoint | None:
    if not profile:
        return decision.endpoints[0]
    result = decision.results.get(profile)
    return result.picked[0] if result is not None and result.picked else None
