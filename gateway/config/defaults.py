"""The configuration in use when the operator gives none, and the reference's for comparison.

``manifests/config/default.yaml`` and ``reference-default.yaml`` say the same; a test holds them
to it.
"""

from __future__ import annotations

from gateway.config.picker import (
    API_VERSION,
    KIND,
    EndpointPickerConfig,
    PluginSpec,
    SchedulingPlugin,
    SchedulingProfile,
)

# One scorer, so its weight is no matter. It predicts what a request costs in seconds, and what it
# costs the requests that are already there, from all four things we know: the prompt's cached
# prefix, this gateway's own requests in flight, the scraped queue and the KV cache. In seconds
# these add up; as four scores of 0..1 they would not: the reference's queue score gives the same
# two points to a queue of 1 against 0 as to 100 against 0, its KV score has no notion of nearly
# full, and its prefix score none of how long the cached prefix is or what waits before it.
# Scores that rest on scraped metrics alone also send everything to the same endpoint until the
# next scrape; the account of requests in flight changes with every pick.
DEFAULT = EndpointPickerConfig(
    api_version=API_VERSION,
    kind=KIND,
    plugins=(
        PluginSpec("approx-prefix-cache-producer"),
        PluginSpec("predicted-cost-scorer"),
        PluginSpec("max-score-picker"),
        PluginSpec("single-profile-handler"),
    ),
    scheduling_profiles=(
        SchedulingProfile(
            "default",
            (
                SchedulingPlugin("predicted-cost-scorer", 1.0),
                SchedulingPlugin("max-score-picker"),
            ),
        ),
    ),
)

# The reference's weights, to compare with and to go back to.
REFERENCE_DEFAULT = EndpointPickerConfig(
    api_version=API_VERSION,
    kind=KIND,
    plugins=(
        PluginSpec("queue-scorer"),
        PluginSpec("kv-cache-utilization-scorer"),
        PluginSpec("prefix-cache-scorer"),
        PluginSpec("max-score-picker"),
        PluginSpec("single-profile-handler"),
    ),
    scheduling_profiles=(
        SchedulingProfile(
            "default",
            (
                SchedulingPlugin("queue-scorer", 2.0),
                SchedulingPlugin("kv-cache-utilization-scorer", 2.0),
                SchedulingPlugin("prefix-cache-scorer", 3.0),
                SchedulingPlugin("max-score-picker"),
            ),
        ),
    ),
)
