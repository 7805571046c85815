"""``loadstar preflight``: is all there that the policy takes? Looks only; exit status tells. IO.

Gathers documents from Google, the cluster and the gateways, and prints what the rules in
``autoscaler.actuate.preflight`` make of them, with the command that mends what is short.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from autoscaler.actuate.preflight.finding import Finding, Level
from autoscaler.commands.files import Unusable, policy_of
from autoscaler.commands.preflight_cluster import in_cluster
from autoscaler.commands.preflight_google import is_at_google, with_google
from autoscaler.policy.model import Policy
from loadstar.clock import SystemClock
from loadstar.config.errors import ConfigError, did_you_mean
from loadstar.feed.subscribe import Subscription
from loadstar.feed.trust import Trust
from loadstar.kube.client import KubeClient
from loadstar.kube.credentials import Credentials
from loadstar.signals.model import Snapshot

LISTEN_S = 5.0
"""Gateways speak every second."""


def main(argv: Sequence[str]) -> int:
    """0 if nothing is short, 1 if something is, 2 for a line or policy to mend."""
    parser = argparse.ArgumentParser(
        prog="loadstar preflight",
        description="Say what is short for a policy: quota, pools, rights, APIs, metrics.",
    )
    parser.add_argument("--policy", type=Path, required=True, help="the policy's file")
    parser.add_argument("--project", default="", help="the Google Cloud project of its pools")
    parser.add_argument("--kubeconfig", default="")
    parser.add_argument("--skip-google", action="store_true")
    parser.add_argument("--skip-cluster", action="store_true")
    parser.add_argument("--signals", default="", help="host:port,... where gateways publish")
    parser.add_argument("--signals-insecure-skip-verify", action="store_true")
    parser.add_argument("--signals-plaintext", action="store_true")
    given = parser.parse_args(argv)
    try:
        policy = policy_of(given.policy)
        findings = asyncio.run(_findings(policy, given))
    except (Unusable, ConfigError, OSError) as error:
        sys.stderr.write(f"loadstar preflight: {error}\n")
        return 2
    return told(findings)


def told(findings: Iterable[Finding]) -> int:
    """Print ``findings``; the exit status."""
    listed = list(findings)
    for finding in listed:
        sys.stdout.writelines(f"{line}\n" for line in finding.lines())
    count = {level: sum(each.level is level for each in listed) for level in Level}
    words = ", ".join(f"{count[level]} {level.value}" for level in Level if count[level])
    sys.stdout.write(f"{words or 'nothing to look at'}\n")
    return 1 if count[Level.SHORT] or count[Level.UNKNOWN] else 0


async def _findings(policy: Policy, given: argparse.Namespace) -> list[Finding]:
    found: list[Finding] = []
    if not given.skip_google and any(is_at_google(pool.provider) for pool in policy.pools):
        found += await asyncio.to_thread(with_google, policy, given.project)
    if not given.skip_cluster:
        credentials = Credentials(given.kubeconfig, environment=os.environ)
        async with KubeClient(credentials, SystemClock(), user_agent="loadstar-preflight") as kube:
            found += await in_cluster(policy, kube)
    if given.signals:
        trust = Trust(
            plaintext=given.signals_plaintext,
            insecure_skip_verify=given.signals_insecure_skip_verify,
        )
        found += await heard(policy, given.signals.split(","), trust)
    return found


async def heard(policy: Policy, addresses: Sequence[str], trust: Trust) -> list[Finding]:
    """Whether gateways speak, and of the very models that the policy names."""
    snapshots: dict[str, Snapshot] = {}

    def hear(snapshot: Snapshot) -> None:
        snapshots[snapshot.publisher] = snapshot

    try:
        subscription = Subscription(
            addresses, trust=trust, name="preflight", heard=hear, rng=random.Random(0)
        )
    except ValueError as error:
        return [Finding(Level.SHORT, "signals", str(error))]
    try:
        async with asyncio.timeout(LISTEN_S):
            await subscription.run()
    except TimeoutError:
        pass
    if not snapshots:
        why = "; ".join(subscription.problems.values()) or f"silent for {LISTEN_S:g} s"
        return [Finding(Level.SHORT, "signals", why, "gateways publish with --signals-port")]
    models = {pool.model for each in snapshots.values() for pool in each.pools}
    said = Finding(Level.OK, "signals", f"{len(snapshots)} gateways speak")
    return [said, *spoken_of(policy, models)]


def spoken_of(policy: Policy, models: AbstractSet[str]) -> list[Finding]:
    """Whether gateways, who speak of ``models``, speak of those that the policy names."""
    found = []
    for model in policy.models:
        subject = f"model {model.name}"
        if model.name in models:
            found.append(Finding(Level.OK, subject, "its demand is heard"))
            continue
        # A name that differs by a letter looks like no demand at all, for ever.
        hint = did_you_mean(model.name, models - {each.name for each in policy.models})
        level = Level.SHORT if hint else Level.NOTE
        found.append(Finding(level, subject, f"no gateway speaks of it{hint}"))
    return found
