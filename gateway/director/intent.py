"""What a request asks of the gateway itself: which model, how urgent, whose it is.

Read from the body's model, the operator's rewrites and objectives, and the client's control
headers. Of a header known by two names, the newer (``x-llm-d-``) wins. Pure but for the chance
that a weighted rewrite takes.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from gateway.director.measures import Traffic
from gateway.errors import BadRequest
from gateway.request.model import Headers, InferenceRequest
from gateway.request.model_rules import ModelRewrite, choose
from loadstar.records import record

OBJECTIVE = ("x-llm-d-inference-objective", "x-gateway-inference-objective")
FAIRNESS_ID = ("x-llm-d-inference-fairness-id", "x-gateway-inference-fairness-id")
MODEL_REWRITE = ("x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite")
CONTROL_HEADERS = frozenset((*OBJECTIVE, *FAIRNESS_ID, *MODEL_REWRITE))

DEFAULT_FLOW = "default-flow"
DEFAULT_PRIORITY = 0
UNREAD = Traffic("", "", DEFAULT_FLOW, DEFAULT_PRIORITY)
"""Whose request it was, where it was refused unread."""
LABEL_CHARACTERS = 256
"""What a metric label keeps of a value that a client chose."""


@record
class Intent:
    """What is asked for."""

    target_model: str
    """The model to ask the endpoint for; the client's own where nothing rewrites it."""
    rewrite_to: str | None
    """``target_model`` where the body must be changed to name it, else None."""
    rule: str | None
    """The operator's rewrite that chose ``target_model``; None if none did."""
    priority: int
    traffic: Traffic


def read(
    request: InferenceRequest,
    objectives: Mapping[str, int],
    rewrites: Sequence[ModelRewrite],
    rng: random.Random,
) -> Intent:
    """The intent of ``request``.

    An operator's rewrite goes before the client's header. A body whose model's place is not known
    (opaque, or none) is never rewritten; one that is still to come is, by rules for all models
    and by header. An unknown objective has priority 0.
    """
    controls = {name: value for name, value in request.headers if name in CONTROL_HEADERS}
    model = request.model
    target, rule = model, None
    known = request.body is not None and request.body.model_span is not None
    if known or request.body_follows:
        chosen = choose(rewrites, model, rng) if rewrites else None
        if chosen is not None:
            rule, target = chosen
        elif controls:
            target = _value(controls, MODEL_REWRITE) or model
    # Most requests name neither: what is known of those need not be asked.
    priority = _priority(controls, objectives) if controls else DEFAULT_PRIORITY
    shown = label(model)
    return Intent(
        target_model=target,
        rewrite_to=target if target != model else None,
        rule=rule,
        priority=priority,
        traffic=Traffic(
            shown,
            shown if target is model else label(target),
            _fairness_id(controls) if controls else DEFAULT_FLOW,
            priority,
        ),
    )


def read_headers(headers: Headers, objectives: Mapping[str, int]) -> Traffic:
    """Whose request it is, as far as ``headers`` tell; the models are not known yet."""
    controls = {name: value for name, value in headers if name in CONTROL_HEADERS}
    return Traffic("", "", _fairness_id(controls), _priority(controls, objectives))


def check(intent: Intent) -> None:
    """Let an intent pass that can be carried out.

    Raises:
        BadRequest: the model that the client's header names is not valid UTF-8, so that no body
            could carry it.
    """
    if intent.rewrite_to is None or intent.rewrite_to.isascii():
        return
    try:
        intent.rewrite_to.encode()
    except UnicodeEncodeError as error:
        raise BadRequest(f"{MODEL_REWRITE[0]}: not valid UTF-8") from error


def label(text: str) -> str:
    """``text`` as a metric label: encodable and not endless, whatever the client sent."""
    if text.isascii() and len(text) <= LABEL_CHARACTERS:
        return text
    return text[:LABEL_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def _priority(controls: Mapping[str, str], objectives: Mapping[str, int]) -> int:
    return objectives.get(_value(controls, OBJECTIVE), DEFAULT_PRIORITY)


def _fairness_id(controls: Mapping[str, str]) -> str:
    return label(_value(controls, FAIRNESS_ID) or DEFAULT_FLOW)


def _value(controls: Mapping[str, str], names: tuple[str, ...]) -> str:
    """The first of ``names`` that says something, without the blanks around it."""
    for name in names:
        value = controls.get(name, "").strip()
        if value:
            return value
    return ""
