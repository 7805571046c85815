"""What other models leave of the pools, the quota and the budget that all share. Pure.

Others keep what they have, or what they must have where they yield; and what they still lack of
their least replicas is left for them, beyond one's own. Called by ``fleet`` for each model.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from autoscaler.observe.observation import Observation
from autoscaler.policy.model import ModelPolicy, Policy, ServiceClass
from autoscaler.sizing.nodes import standing_units
from autoscaler.sizing.planner import Planner, Shares


def left_for(
    name: str,
    policy: Policy,
    planners: Mapping[str, Planner],
    seen: Mapping[str, Observation],
    decided: Collection[str],
) -> Shares:
    """What the others leave to ``name``: all but what they have, or must have where they yield.

    ``decided`` are those that have had their turn already. Whoever records decisions for replay
    keeps the answer beside the observation.
    """
    me = planners[name]
    roofs = _roofs(policy, planners, seen)
    left, stays, lacked = dict(roofs), dict(roofs), dict.fromkeys(roofs, 0)
    for other, planner in planners.items():
        if other == name:
            continue
        yields = other not in decided and _yields(planner.model, me.model, seen.get(other))
        held = {b.pool.name: b.least_units() if yields else b.units for b in planner.books}
        for book in planner.books:
            pool = book.pool.name
            left[pool] -= held[pool]
            # Orders that the roof has fallen below go in their model's turn, before what serves.
            serves = min(held[pool], book.ready_units())
            stays[pool] -= book.units if other in decided else serves
        if other not in decided and other in seen:
            for pool, count in _lacking(planner, held).items():
                lacked[pool] += count
    known = seen[name].demand.arrivals_rps is not None  # else nothing of ours goes
    units: dict[str, int] = {}
    for book in me.books:
        pool = book.pool.name
        own = -(-me.model.min_replicas // book.pool.replicas_per_unit)
        free = max(left[pool] - lacked[pool], min(left[pool], own))
        keeps = max(stays[pool] - lacked[pool], min(stays[pool], own)) if known else stays[pool]
        serves = min(book.units, standing_units([book]))
        units[pool] = max(0, free, min(serves, keeps))
    return Shares(budget_per_hour=_budget(policy, me, roofs, left, lacked), units=units)


def _yields(model: ModelPolicy, to: ModelPolicy, seen: Observation | None) -> bool:
    """Whether ``model`` gives up what it can do without: a batch, whose demand is known."""
    if seen is None or seen.demand.arrivals_rps is None:
        return False
    lesser = model.service_class is ServiceClass.BATCH
    return lesser and to.service_class is ServiceClass.INTERACTIVE


def _lacking(planner: Planner, held: Mapping[str, int]) -> dict[str, int]:
    """Units by pool that ``held`` lack of the least replicas: of those there are, then cheapest."""
    books = sorted(planner.books, key=lambda b: (b.pool.price_per_replica_hour(), b.pool.name))
    short = planner.model.min_replicas
    short -= sum(held[b.pool.name] * b.pool.replicas_per_unit for b in books)
    there = [(b, b.units - held[b.pool.name]) for b in books]
    more = [(b, b.limit_units() - b.units) for b in books if not b.supply.stockout]
    found: dict[str, int] = {}
    for book, room in (*there, *more):
        per_unit, pool = book.pool.replicas_per_unit, book.pool.name
        units = max(0, min(room, -(-short // per_unit)))
        found[pool] = found.get(pool, 0) + units
        short -= units * per_unit
    return found


def _budget(
    policy: Policy,
    me: Planner,
    roofs: Mapping[str, int],
    left: Mapping[str, int],
    lacked: Mapping[str, int],
) -> float | None:
    """The budget less what others hold, and what they lack beyond what ``me`` must have."""
    if policy.budget_per_hour is None:
        return None
    prices = {pool.name: pool.price_per_unit_hour for pool in policy.pools}
    held = sum((roofs[pool] - left[pool]) * price for pool, price in prices.items())
    after = policy.budget_per_hour - held
    least = me.model.min_replicas
    own = min(-(-least // b.pool.replicas_per_unit) * b.pool.price_per_unit_hour for b in me.books)
    reserved = sum(lacked[pool] * price for pool, price in prices.items())
    return max(0.0, after - reserved, min(after, own))


def _roofs(
    policy: Policy, planners: Mapping[str, Planner], seen: Mapping[str, Observation]
) -> dict[str, int]:
    """The most units of each pool that all models may have together.

    The provider's word on quota may be lower than the policy's, and bounds what is added: what
    stands already may stay, or change hands.
    """
    roofs = {pool.name: pool.limit_units() for pool in policy.pools}
    quotas: dict[str, int] = {}
    for observation in seen.values():
        for pool, supply in observation.supply.items():
            if pool in roofs and supply.quota_units is not None:
                quotas[pool] = min(quotas.get(pool, supply.quota_units), supply.quota_units)
    for pool, quota in quotas.items():
        books = [b for each in planners.values() for b in each.books if b.pool.name == pool]
        roofs[pool] = min(roofs[pool], max(quota, standing_units(books)))
    return roofs
