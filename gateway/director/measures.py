"""What the director says of its work, as calls: the facade ``gateway.metrics`` implements.

Arguments are plain values, so that the metrics layer, which lies below everything else, needs to
know none of the gateway's types. No call may raise, wait, or keep what it is given.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Traffic(NamedTuple):
    """Whose request it was: the labels that every per-request series shares."""

    model: str
    """The model the client asked for; empty when the request was routed on headers alone."""
    target_model: str
    """The model the endpoint was asked for, after rewrites."""
    fairness_id: str
    priority: int


class Measures(Protocol):
    """Counters and histograms of the request path. All durations are seconds."""

    def routed(self, traffic: tuple[str, str, str, int], request_bytes: int) -> None:
        """A request got an endpoint. ``request_bytes`` is its body's length, where known."""
        ...

    def refused(self, traffic: tuple[str, str, str, int], code: str) -> None:
        """A request was refused; ``code`` is the refusal's stable word (``shed``, ...)."""
        ...

    def rewritten(self, rule: str, model: str, target_model: str) -> None:
        """Rewrite ``rule`` chose ``target_model`` for ``model``, the same name or another."""
        ...

    def scheduled(
        self, seconds: float, target_model: str, pod: str, namespace: str, port: int
    ) -> None:
        """Scheduling took ``seconds`` and chose this endpoint; ``pod`` is "" if nothing fitted."""
        ...

    def first_token(
        self, traffic: tuple[str, str, str, int], seconds: float, streamed: bool
    ) -> None:
        """The first piece of a successful answer came ``seconds`` after the pick (TTFT)."""
        ...

    def finished(
        self,
        traffic: tuple[str, str, str, int],
        *,
        ending: str,
        status: int | None,
        seconds: float,
        seconds_per_output_token: float | None,
        input_tokens: int | None,
        output_tokens: int | None,
        cached_tokens: int | None,
        response_bytes: int,
        streamed: bool,
    ) -> None:
        """A routed request ended: how (``Ending.value``), and what is known of it.

        None is 'not known' and must not be observed as zero. ``seconds`` runs from the pick to the
        end; ``seconds_per_output_token`` is TPOT, (end - first token) / (output tokens - 1).
        """
        ...

    def served_elsewhere(self, known: bool) -> None:
        """The proxy reports another endpoint than the first pick: one of the pool, or not."""
        ...

    def plugin_failed(self, plugin: str, point: str) -> None:
        """``plugin`` raised at ``point``: produce, filter, score, pick, picked, served, ..."""
        ...

    def live(self, requests: int) -> None:
        """Requests routed and not yet ended: a gauge, to be zero when idle."""
        ...

    def avoided(self, endpoints: int) -> None:
        """Endpoints that the circuit breaker keeps out of this pick: a gauge."""
        ...
