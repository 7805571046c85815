"""Headers that steer the gateway: which a client may send, and which must not travel on.

A client's destination, subset and served headers are claims about what only the proxy and we
decide: they are neither believed nor forwarded (an ORIGINAL_DST cluster would follow them). The
others are requests to us: read, then removed before the model server sees them.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.extproc.messages import HeaderMutation
from gateway.request.model import Headers

DESTINATION = "x-gateway-destination-endpoint"
REQUEST_ID = "x-request-id"
CONTENT_LENGTH = "content-length"

CLAIMS = frozenset(
    {
        DESTINATION,
        "x-gateway-destination-endpoint-subset",
        "x-gateway-destination-endpoint-served",
    }
)
CONTROL = CLAIMS | {
    "x-gateway-inference-fairness-id",
    "x-gateway-inference-objective",
    "x-gateway-model-name-rewrite",
    "x-llm-d-inference-fairness-id",
    "x-llm-d-inference-objective",
    "x-llm-d-model-name-rewrite",
    # What a prefill/decode sidecar obeys; only a route may set it.
    "x-prefiller-host-port",
    "x-encoder-hosts-ports",
    "x-data-parallel-host-port",
}


def believed(headers: Headers, sent: Mapping[str, str]) -> Headers:
    """``headers`` without a client's claims; the same object where it makes none.

    ``sent`` is the same headers by name: the caller has it at hand.
    """
    if CLAIMS.isdisjoint(sent):
        return headers
    return Headers(item for item in headers if item[0] not in CLAIMS)


def upstream(
    sent: Mapping[str, str],
    ours: tuple[tuple[str, str], ...],
    remove: tuple[str, ...] = (),
) -> HeaderMutation:
    """What to change on the way up: set ``ours``, remove what steers us (and ``remove``).

    Only what was ``sent`` is removed and only what is ours is set, so repeated headers of others
    stay repeated.
    """
    if not remove and CONTROL.isdisjoint(sent):
        return HeaderMutation(ours)
    kept = {name for name, _ in ours}
    gone = {name for name in CONTROL.union(remove) if name in sent and name not in kept}
    return HeaderMutation(ours, tuple(sorted(gone)))
