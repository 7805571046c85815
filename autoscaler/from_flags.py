"""What flags alone describe: whom to listen to, what to ask, how to be elected. Opens nothing."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Callable

from autoscaler.config import Flags
from autoscaler.observe.prometheus import Address, token_of_file, token_of_google
from loadstar.clock import Clock
from loadstar.feed.subscribe import Subscription
from loadstar.feed.trust import Trust
from loadstar.kube.client import KubeClient
from loadstar.kube.lease import Election
from loadstar.signals.model import Snapshot

COMPONENT = "loadstar-autoscaler"


def subscription(
    flags: Flags, heard: Callable[[Snapshot], None], rng: random.Random
) -> Subscription:
    """The gateways' feed."""
    trust = Trust(
        plaintext=flags.signals_plaintext,
        insecure_skip_verify=flags.signals_insecure_skip_verify,
        ca_file=flags.signals_ca_file,
        server_name=flags.signals_server_name,
        token_file=flags.signals_token_file,
    )
    return Subscription(flags.signals, trust=trust, name=COMPONENT, heard=heard, rng=rng)


def prometheus(flags: Flags) -> Address:
    """Where past demand is read, and as whom."""
    google = flags.prometheus_google_auth
    return Address(
        url=flags.prometheus_url,
        ca_file=flags.prometheus_ca_file,
        token=token_of_google() if google else token_of_file(flags.prometheus_token_file),
        timeout_s=flags.prometheus_timeout,
        selector=flags.prometheus_selector,
    )


async def election(flags: Flags, kube: KubeClient, clock: Clock, rng: random.Random) -> Election:
    """For the Lease, in the namespace of the pod or kubeconfig unless another is named."""
    return Election(
        kube,
        namespace=flags.lease_namespace or (await kube.connection()).namespace or "default",
        name=flags.lease_name,
        identity=flags.identity or f"{os.uname().nodename}-{uuid.uuid4().hex[:8]}",
        clock=clock,
        rng=rng,
    )
