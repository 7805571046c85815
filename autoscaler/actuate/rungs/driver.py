"""Keeps room in the cluster for one pool by its rung: reads, compares, applies through the gate.

Buffers, classes and placeholders are one document each, written again only when it differs. An
all-or-nothing request is immutable: a larger order is one more request, and a smaller one is
requests taken back, newest first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from autoscaler.actuate.gate import Call, Gate
from autoscaler.actuate.rungs import documents
from autoscaler.actuate.workload.documents import LEADER_WORKER_SETS, SCALABLE
from autoscaler.policy.model import TargetPolicy
from autoscaler.policy.pools import PoolMode, PoolPolicy
from loadstar.kube import quantity
from loadstar.kube.calls import Applies, Deletes, Gets, Lists
from loadstar.kube.conditions import is_true
from loadstar.kube.errors import ApiError, Invalid, NotFound
from loadstar.kube.resources import DEPLOYMENTS, Resource

FIELD_MANAGER = "loadstar-autoscaler"
REPEAT_S = 300.0
"""How often to apply what has not changed, in case somebody removed it."""
UNKNOWN_FIELD = "not declared in schema"
"""What a server says of a field that its version of a kind does not have."""
MOST_REQUESTS = 32
"""Requests of one pool that may stand at once."""


class Kube(Gets, Lists, Applies, Deletes, Protocol):
    """``loadstar.kube.client.KubeClient`` has these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What one tick came to. ``refused`` is a request that the provider could not fill.

    ``lesser`` says which means this cluster turned out not to have; the next tick uses the next.
    """

    written: tuple[str, ...] = ()
    refused: str = ""
    lesser: str = ""


class RoomDriver:
    """One pool's room. ``mode`` is the rung that the cluster was found to serve."""

    def __init__(
        self,
        pool: PoolPolicy,
        mode: PoolMode,
        target: TargetPolicy,
        namespace: str,
        kube: Kube,
        gate: Gate,
        *,
        buffers: Resource = documents.BUFFERS,
    ) -> None:
        self._pool = pool
        self._mode = mode
        self._target = target
        self._namespace = target.namespace or namespace
        self._kube = kube
        self._gate = gate
        self._buffers = buffers
        self._applied: dict[str, tuple[int, float]] = {}
        """Name -> how much was asked for, and when."""
        self._has_priority = False
        self._class_forms: tuple[str, ...] = (documents.CLASS_MINIMUM, documents.CLASS_BUFFERS)

    async def tick(self, wanted_units: int, replicas: int, now_s: float) -> Room:
        """Keep room for ``wanted_units`` in all, of which ``replicas`` pods have theirs already.

        Raises ApiError or NotWritten.
        """
        spare = documents.spare_units(self._pool, wanted_units, replicas)
        pods = spare * self._pool.replicas_per_unit
        match self._mode:
            case PoolMode.BUFFER:
                reference = {
                    "apiGroup": SCALABLE[self._target.kind].group,
                    "kind": self._target.kind,
                    "name": self._target.name,
                }
                document = documents.buffer(
                    self._buffers, self._pool, self._namespace, reference, pods
                )
                return await self._same(self._buffers, document, pods, now_s)
            case PoolMode.COMPUTE_CLASS:
                return await self._class(wanted_units, pods, now_s)
            case PoolMode.PLACEHOLDER:
                return await self._placeholders(pods, now_s)
            case PoolMode.PROVISIONING_REQUEST:
                return await self._requests(spare)
            case _:
                return Room()

    async def _pod(self) -> Mapping[str, Any]:
        """The pod spec of the target's template."""
        resource = SCALABLE[self._target.kind]
        found = await self._kube.get(resource, self._target.name, self._namespace)
        spec = found["spec"]
        if resource is LEADER_WORKER_SETS:
            template: Mapping[str, Any] = spec["leaderWorkerTemplate"]["workerTemplate"]
        else:
            template = spec["template"]
        pod: Mapping[str, Any] = template["spec"]
        return pod

    async def _class(self, wanted_units: int, pods: int, now_s: float) -> Room:
        """The class's minimum of nodes; its buffer where this server will not have that; else pods.

        What the class lacks is for its operator to mend, so a form that was refused is not tried
        again before the policy is read anew.
        """
        if not self._class_forms:
            return await self._placeholders(pods, now_s)
        form, name = self._class_forms[0], documents.class_of(self._pool)
        if form == documents.CLASS_MINIMUM:
            amount = wanted_units * self._pool.nodes_per_unit
            document = documents.class_minimum(self._pool, amount)
        else:
            amount = pods
            limits = _times(documents.requests(await self._pod()), pods)
            document = documents.class_buffer(self._pool, limits)
        if not self._due(name, amount, now_s):
            return Room()
        await self._kube.get(documents.CLASSES, name)  # applying to one that is not there makes it
        try:
            answer = await self._apply(documents.CLASSES, document)
            refused = "" if form in (answer.get("spec") or {}) else "the server does not keep it"
        except ApiError as error:
            if not _unfit(error):
                raise
            refused = str(error)
        if refused:
            self._class_forms = self._class_forms[1:]
            self._applied.pop(name, None)
            return Room(lesser=f"{documents.CLASSES}/{name}: no {form}: {refused}")
        self._applied[name] = (amount, now_s)
        return Room(written=(f"{documents.CLASSES}/{name} {form} {amount}",))

    async def _placeholders(self, pods: int, now_s: float) -> Room:
        await self._priority()
        document = documents.placeholders(self._pool, self._namespace, await self._pod(), pods)
        return await self._same(DEPLOYMENTS, document, pods, now_s)

    def _due(self, name: str, amount: int, now_s: float) -> bool:
        """Whether ``amount`` was not asked for under ``name``, or not lately."""
        before, at_s = self._applied.get(name, (-1, now_s))
        return before != amount or now_s - at_s >= REPEAT_S

    async def _same(
        self, resource: Resource, document: dict[str, Any], amount: int, now_s: float
    ) -> Room:
        """Apply ``document`` unless it was lately, with this very amount."""
        name = document["metadata"]["name"]
        if not self._due(name, amount, now_s):
            return Room()
        await self._apply(resource, document)
        self._applied[name] = (amount, now_s)
        return Room(written=(f"{resource}/{name} {amount}",))

    async def _priority(self) -> None:
        if self._has_priority:
            return
        try:
            await self._kube.get(documents.PRIORITIES, documents.PRIORITY)
        except NotFound:
            await self._apply(documents.PRIORITIES, documents.priority())
        self._has_priority = True

    async def _requests(self, spare: int) -> Room:
        label = f"loadstar.dev/pool={documents.name_of(self._pool)}"
        standing = await self._kube.list(documents.REQUESTS, self._namespace, labels=label)
        failed = [each for each in standing if _is(each, "Failed", "BookingExpired")]
        failed += [each for each in standing if _is(each, "CapacityRevoked") and each not in failed]
        good = sorted((e for e in standing if e not in failed), key=_number)
        written: list[str] = []
        for each in failed + good[spare:][::-1]:
            name = each["metadata"]["name"]
            uid = each["metadata"].get("uid", "")
            target = f"{documents.REQUESTS}/{name}"
            async with self._gate.writing(Call(api="kubernetes", method="delete", target=target)):
                await self._kube.delete(documents.REQUESTS, name, self._namespace, uid=uid)
            written.append(f"-{name}")
        missing = min(spare, MOST_REQUESTS) - len(good)
        if missing > 0 and not failed:  # what could not be had is not asked for in the same breath
            number = max((_number(each) for each in standing), default=0) + 1
            written.append(await self._order(number, label))
        messages = [_message(each) for each in failed]
        return Room(written=tuple(written), refused="; ".join(messages))

    async def _order(self, number: int, label: str) -> str:
        """One unit, all or nothing. One order a tick."""
        pods = max(self._pool.replicas_per_unit, self._pool.nodes_per_unit)
        made = documents.template(self._pool, self._namespace, await self._pod(), number)
        await self._apply(documents.TEMPLATES, made)
        asked = documents.request(self._pool, self._namespace, number, pods)
        key, _, value = label.partition("=")
        asked["metadata"]["labels"] = {**asked["metadata"]["labels"], key: value}
        await self._apply(documents.REQUESTS, asked)
        return f"+{asked['metadata']['name']}"

    async def _apply(self, resource: Resource, document: dict[str, Any]) -> dict[str, Any]:
        target = f"{resource}/{document['metadata']['name']}"
        body = document.get("spec", {})
        call = Call(api="kubernetes", method="apply", target=target, body=body)
        async with self._gate.writing(call):
            return await self._kube.apply(
                resource, document, field_manager=FIELD_MANAGER, force=True
            )


def _times(resources: Mapping[str, str], pods: int) -> dict[str, str]:
    found = {name: quantity.parse(amount) for name, amount in resources.items()}
    return {name: str(replace(each, value=each.value * pods)) for name, each in found.items()}


def _unfit(error: ApiError) -> bool:
    """Whether the very document is what is wrong: the same again would fail again."""
    return isinstance(error, Invalid) or UNKNOWN_FIELD in str(error)


def _is(request: Mapping[str, Any], *conditions: str) -> bool:
    said = (request.get("status") or {}).get("conditions") or ()
    return any(is_true(said, each) for each in conditions)


def _number(request: Mapping[str, Any]) -> int:
    last = str(request["metadata"]["name"]).rsplit("-", 1)[-1]
    return int(last) if last.isdecimal() else 0


def _message(request: Mapping[str, Any]) -> str:
    for condition in (request.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Failed" and condition.get("status") == "True":
            return f"{request['metadata']['name']}: {condition.get('message', '')}"
    return f"{request['metadata']['name']}: the capacity was not kept"
