"""From a need to replicas and nodes: decisions, mixes of pools, rails."""
