"""The gateway's own account of what each endpoint is working on, between two scrapes.

A pick takes a credit on its endpoint's row; every way a stream can end gives it back. Not a
tracker of requests (the director is that) and not an estimate (``gateway.director.demand`` is).
The store keeps a departed endpoint's slot until its ``inflight_requests`` is zero, so a credit
always names the row it was taken from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.datalayer.state import Columns, Endpoint


@dataclass(slots=True, eq=False)
class Credit:
    """What one request has taken, and from whom. Only ``InFlight`` changes it."""

    endpoint: Endpoint
    tokens: int
    """Prompt and output tokens, estimated at pick time; held until the end."""
    prefill_tokens: int
    """Uncached prompt tokens still to be computed; zero once the first token has come."""
    held: bool = True
    """False once given back."""


class InFlight:
    """Adds to and takes from ``own_requests``, ``own_tokens`` and ``own_prefill`` by slot.

    ``columns`` is asked at every call: the store may have grown its arrays in the meantime.
    No method raises, and no order of calls takes a row below zero.
    """

    def __init__(self, columns: Callable[[], Columns]) -> None:
        self._columns = columns

    def take(self, endpoint: Endpoint, tokens: int, prefill_tokens: int) -> Credit:
        """Credit ``endpoint`` with one more request. Negative estimates count as zero."""
        credit = Credit(endpoint, max(tokens, 0), max(prefill_tokens, 0))
        self._add(credit, 1)
        return credit

    def first_token(self, credit: Credit) -> None:
        """Prefill is over: only decoding is left. Later calls do nothing."""
        if credit.held and credit.prefill_tokens:
            self._columns().own_prefill[credit.endpoint.slot] -= credit.prefill_tokens
            credit.prefill_tokens = 0

    def move(self, credit: Credit, endpoint: Endpoint) -> None:
        """``endpoint`` serves it after all (a retry, a fallback): the load follows.

        The size stays as estimated for the first pick; a second estimate would be no better.
        """
        if not credit.held:
            return
        self._add(credit, -1)
        credit.endpoint = endpoint
        self._add(credit, 1)

    def give_back(self, credit: Credit) -> None:
        """The stream has ended, however it ended. Later calls do nothing."""
        if credit.held:
            credit.held = False
            self._add(credit, -1)

    def _add(self, credit: Credit, sign: int) -> None:
        columns, slot = self._columns(), credit.endpoint.slot
        columns.own_requests[slot] += sign
        columns.own_tokens[slot] += sign * credit.tokens
        columns.own_prefill[slot] += sign * credit.prefill_tokens
