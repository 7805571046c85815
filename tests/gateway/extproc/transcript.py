"""Sessions as JSON: read what a transcript tells, write down what was commanded.

A transcript is ``{"about", "limits"?, "conversation": [{"told": event, "commands": [...]}]}``;
an event or command is ``{"ClassName": {field: value}}`` with default fields left out, and
``{"close": ending}`` closes the session.
"""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any

from gateway import errors
from gateway.errors import Refusal
from gateway.extproc import messages
from gateway.extproc.messages import BodyMode, Command, Event, Refused
from gateway.extproc.session import Limits, Session
from gateway.request.model import Ending, Headers, Route

Json = Any


def play(transcript: Json) -> Json:
    """The same transcript with the commands that the session gives today."""
    session = Session(Limits(**transcript.get("limits", {})), lambda: "generated-id")
    conversation = []
    for step in transcript["conversation"]:
        told = step["told"]
        commands = (
            session.close(Ending(told["close"])) if "close" in told else session.on(event(told))
        )
        conversation.append({"told": told, "commands": [written(c) for c in commands]})
    return {**transcript, "conversation": conversation}


def event(told: Json) -> Event:
    """The event that ``told`` describes."""
    ((name, given),) = told.items()
    if name == "Refused":
        return Refused(refusal(given["refusal"], given.get("message", "no")))
    made: Event = getattr(messages, name)(**{key: _field(key, v) for key, v in given.items()})
    return made


def refusal(name: str, message: str) -> Refusal:
    made: Refusal = getattr(errors, name)(message)
    return made


def _field(key: str, value: Json) -> Any:
    match key:
        case "chunk":
            return bytes_of(value)
        case "request_body" | "response_body":
            return BodyMode[value]
        case "route":
            return Route(**{k: _route_field(v) for k, v in value.items()})
        case "headers":
            return Headers(tuple(pair) for pair in value)
        case "subset":
            return tuple(value)
        case _:
            return value


def _route_field(value: Json) -> Any:
    if isinstance(value, list):
        return tuple(tuple(v) if isinstance(v, list) else v for v in value)
    return value


def bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def written(value: Any) -> Json:
    """``value`` in the JSON of transcripts."""
    if isinstance(value, Enum):
        return value.name if isinstance(value, BodyMode) else value.value
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, Headers | tuple | list):
        return [written(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        given = {
            f.name: written(getattr(value, f.name))
            for f in fields(value)
            if getattr(value, f.name) != _default(f)
        }
        return {type(value).__name__: given} if _is_command(value) else given
    return value


def _default(of: Any) -> Any:
    return of.default_factory() if of.default_factory is not MISSING else of.default


def _is_command(value: object) -> bool:
    return isinstance(value, Command)
