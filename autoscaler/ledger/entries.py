"""The lines of a ledger: values to JSON and back, exactly. Pure; no file is touched here.

A number that is read back is the number that was written, so that a decision made again from a
line can be compared byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias, assert_never

import orjson

from autoscaler.ledger import typed
from autoscaler.observe.observation import Demand, Observation, PoolSupply
from autoscaler.sizing.decision import Decision, Reason

VERSION = 2


class OtherVersion(ValueError):
    """A ledger of another release, whose lines mean something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """From here on decisions follow from what stands in this line and in later ones."""

    at_s: float
    policy: str  # its text
    histories: Mapping[str, Mapping[str, object]]  # by model
    warm: tuple[Observation, ...] = ()
    """Seen before, and shown to the controllers again without counting what they say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """One decision with everything that it was made from."""

    at_s: float
    seen: Observation
    decision: Decision
    mode: str = ""
    leads: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrote:
    """One write that was asked for, or kept back, and its end."""

    at_s: float
    model: str
    pool: str
    api: str
    method: str
    target: str
    body: Mapping[str, object] = field(default_factory=dict)
    outcome: str = "accepted"


Entry: TypeAlias = Start | Decided | Wrote


def line(entry: Entry) -> bytes:
    """``entry`` as one line of JSON."""
    match entry:
        case Start():
            body: dict[str, Any] = {
                "type": "start",
                "version": VERSION,
                "atS": entry.at_s,
                "policy": entry.policy,
                "histories": {name: dict(each) for name, each in entry.histories.items()},
                "warm": [observation_document(each) for each in entry.warm],
            }
        case Decided():
            body = {
                "type": "decision",
                "atS": entry.at_s,
                "model": entry.seen.model,
                "mode": entry.mode,
                "leads": entry.leads,
                "observation": observation_document(entry.seen),
                "decision": decision_document(entry.decision),
            }
        case Wrote():
            body = {"type": "write", **_camel(asdict(entry))}
        case _:
            assert_never(entry)
    return orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY)


def parse(text: bytes) -> Entry:
    """The entry of one line. Raises ValueError."""
    try:
        body = typed.mapping("the line", orjson.loads(text))
    except orjson.JSONDecodeError:
        raise ValueError("not a line of a ledger: not JSON") from None
    try:
        match body["type"]:
            case "start":
                if body["version"] != VERSION:
                    raise OtherVersion(f"ledger version {body['version']}, not {VERSION}")
                return Start(
                    at_s=typed.number("atS", body["atS"]),
                    policy=typed.text("policy", body["policy"]),
                    histories={
                        name: typed.mapping(f"histories.{name}", each)
                        for name, each in typed.mapping("histories", body["histories"]).items()
                    },
                    warm=tuple(observation_of(each) for each in body["warm"]),
                )
            case "decision":
                return Decided(
                    at_s=typed.number("atS", body["atS"]),
                    seen=observation_of(body["observation"]),
                    decision=decision_of(body["decision"]),
                    mode=typed.text("mode", body["mode"]),
                    leads=body["leads"],
                )
            case "write":
                words = ("model", "pool", "api", "method", "target", "outcome")
                return Wrote(
                    at_s=typed.number("atS", body["atS"]),
                    **{k: typed.text(k, body[k]) for k in words},
                    body=typed.mapping("body", body["body"]),
                )
            case other:
                raise ValueError(f"a line of type {other!r} is not known")
    except KeyError as error:
        raise ValueError(f"not a line of a ledger: {error.args[0]} is missing") from None
    except TypeError as error:
        raise ValueError(f"not a line of a ledger: {error}") from None


def observation_document(seen: Observation) -> dict[str, Any]:
    return {
        "nowS": seen.now_s,
        "model": seen.model,
        "demand": _camel(asdict(seen.demand)),
        "supply": {name: _camel(asdict(each)) for name, each in seen.supply.items()},
    }


def observation_of(document: Mapping[str, Any]) -> Observation:
    return Observation(
        now_s=typed.number("nowS", document["nowS"]),
        model=typed.text("model", document["model"]),
        demand=typed.made_of(Demand, _snake(typed.mapping("demand", document["demand"]))),
        supply={
            name: typed.made_of(PoolSupply, _snake(typed.mapping(f"supply.{name}", each)))
            for name, each in typed.mapping("supply", document["supply"]).items()
        },
    )


def decision_document(decision: Decision) -> dict[str, Any]:
    return {
        "replicas": {name: int(n) for name, n in decision.replicas.items()},
        "reason": decision.reason.value,
        "inputs": {name: float(value) for name, value in decision.inputs.items()},
        "text": decision.text,
    }


def decision_of(document: Mapping[str, Any]) -> Decision:
    return Decision(
        replicas={
            name: typed.whole(f"replicas.{name}", n)
            for name, n in typed.mapping("replicas", document["replicas"]).items()
        },
        reason=Reason(document["reason"]),
        inputs={
            name: float("nan") if value is None else typed.number(f"inputs.{name}", value)
            for name, value in typed.mapping("inputs", document["inputs"]).items()
        },
        text=typed.text("text", document["text"]),
    )


def same(one: Decision, other: Decision) -> bool:
    """Whether two decisions are the same to the last bit, as far as a line can tell."""
    return orjson.dumps(decision_document(one)) == orjson.dumps(decision_document(other))


def _camel(values: Mapping[str, Any]) -> dict[str, Any]:
    made = {}
    for name, value in values.items():
        head, *rest = name.split("_")
        made[head + "".join(part.title() for part in rest)] = value
    return made


def _snake(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"".join(f"_{c.lower()}" if c.isupper() else c for c in k): v for k, v in values.items()}
