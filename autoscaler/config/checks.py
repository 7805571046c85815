"""Which flags go together, and which texts can be no address or file: every problem by its flag."""

from __future__ import annotations

from autoscaler.config.flags import Flags
from loadstar.config.errors import Problems
from loadstar.feed.addresses import split
from loadstar.files import unusable


def check(flags: Flags, problems: Problems) -> None:
    """Add what is wrong with ``flags``. Looks whether the policy's file is there."""
    if bool(flags.policy_file) == bool(flags.config_map):
        problems.add("--policy-file", "give it or --config-map, one of the two")
    if flags.config_map and flags.config_map.count("/") != 1:
        problems.add("--config-map", f"{flags.config_map!r} is not namespace/name")
    if flags.policy_file and (why := unusable(flags.policy_file)):
        problems.add("--policy-file", f"{flags.policy_file}: {why}")
    if bool(flags.signals) == bool(flags.demand_file):
        problems.add("--signals", "give it or --demand-file, one of the two")
    for address in flags.signals:
        try:
            split(address)
        except ValueError as error:
            problems.add("--signals", str(error))
    _prometheus(flags, problems)
    if flags.local_fleet and flags.config_map:
        problems.add("--local-fleet", "asks no Kubernetes for anything; write --policy-file")
    if (flags.clock_factor != 1.0) != bool(flags.clock_agreed_at):
        problems.add("--clock-factor", "goes with --clock-agreed-at, one not without the other")
    if flags.clock_factor != 1.0 and not flags.local_fleet:
        problems.add("--clock-factor", "a cluster has no other clock; write --local-fleet")
    if flags.local_fleet and not flags.local_fleet.startswith(("http://", "https://")):
        problems.add("--local-fleet", f"{flags.local_fleet!r} is not an http URL")


def _prometheus(flags: Flags, problems: Problems) -> None:
    """What does not go together among the flags of ``--prometheus-url``."""
    if not flags.prometheus_url:
        if flags.prometheus_token_file or flags.prometheus_google_auth or flags.prometheus_selector:
            problems.add("--prometheus-url", "is missing, and other flags speak of it")
        return
    if not flags.prometheus_url.startswith(("http://", "https://")):
        problems.add("--prometheus-url", f"{flags.prometheus_url!r} is not an http URL")
    has_token = bool(flags.prometheus_token_file) or flags.prometheus_google_auth
    if has_token and flags.prometheus_url.startswith("http://"):
        problems.add("--prometheus-url", "a token is not sent without TLS; write https://")
    if flags.prometheus_token_file and flags.prometheus_google_auth:
        problems.add("--prometheus-token-file", "give it or --prometheus-google-auth, one of them")
    if not flags.prometheus_timeout > 0:
        problems.add("--prometheus-timeout", "must be more than 0")
    if flags.clock_factor != 1.0:
        problems.add("--prometheus-url", "a clock that outruns the machine's has no past there")
