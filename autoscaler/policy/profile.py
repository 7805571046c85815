"""What one replica can do, as an operator may write it: the step times of its engine.

An engine step with n sequences takes ``decodeBase + n * decodePerSequence``; a prompt token costs
``prefillPerToken``. What follows from these numbers is worked out in ``autoscaler.capacity``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from loadstar.config.load import Fraction, Seconds, above, at_least, between, key


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilePolicy:
    """Step times of the reference replica, and how many sequences it runs at once.

    The defaults are an 8B model on an 80 GB accelerator of the A100 class.
    """

    decode_base_s: Annotated[Seconds, at_least(0)] = field(
        default=0.010, metadata=key("decodeBase")
    )
    decode_per_sequence_s: Annotated[Seconds, above(0)] = field(
        default=0.0001, metadata=key("decodePerSequence")
    )
    prefill_per_token_s: Annotated[Seconds, above(0)] = field(
        default=0.000075, metadata=key("prefillPerToken")
    )
    prefill_base_s: Annotated[Seconds, at_least(0)] = field(
        default=0.0, metadata=key("prefillBase")
    )
    concurrency: Annotated[int, at_least(1)] = 96
    sustainable_load: Annotated[Fraction, between(0.05, 1)] | None = None
    """Share of full load at which the objectives still hold; absent: from the service curve."""
