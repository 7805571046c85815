"""The endpoints file of ``file-discovery``: YAML or JSON text -> ``Discovered``. Pure and strict.

The schema is the llm-d router's, with ``metricsPort``, IPv6, ``objectives`` and ``rewrites``
added. A file with an entry that cannot be used is refused at start, as there, with every problem
named; of a file that changes later, ``usable`` takes the other entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from types import MappingProxyType
from typing import Annotated

from gateway.datalayer.discovered import Discovered, EndpointSpec
from gateway.datalayer.state import host_port
from gateway.request.model_rules import ModelRewrite, Rule, Target
from loadstar.config.errors import ConfigError, Problems
from loadstar.config.load import NOT_EMPTY, Check, Parse, between, build, key, load, one_of

MAX_WEIGHT = 1_000_000


def _address(text: str) -> str:
    """The canonical spelling of an IP address, so that one address is one destination."""
    try:
        address = ip_address(text)
    except ValueError:
        hint = ""
        if text.startswith("["):
            hint = "; write IPv6 without brackets"
        elif text and not text[0].isdigit():
            hint = "; host names are not resolved"
        raise ValueError(f'must be an IP address, not "{text[:80]}"{hint}') from None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError(f'must be an IP address without a zone, not "{text[:80]}"')
        return str(address.ipv4_mapped or address)
    return str(address)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        raise ValueError(f'must be a port, 1 to 65535, not "{text[:80]}"')
    return int(text)


_INT32 = Check(lambda value: -(2**31) <= value < 2**31, "must fit into 32 bits")
# The router writes a port as a string; a number says the same.
Port = Annotated[int, Parse(_port, numbers=True), between(1, 65535)]


@dataclass(frozen=True, slots=True)
class _Endpoint:
    name: Annotated[str, NOT_EMPTY]
    address: Annotated[str, Parse(_address)]
    port: Port
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    metrics_port: Port | None = None


@dataclass(frozen=True, slots=True)
class _Objective:
    name: Annotated[str, NOT_EMPTY]
    priority: Annotated[int, _INT32] = 0


@dataclass(frozen=True, slots=True)
class _ModelMatch:
    value: Annotated[str, NOT_EMPTY]
    kind: Annotated[str, one_of("Exact")] = field(default="Exact", metadata=key("type"))


@dataclass(frozen=True, slots=True)
class _Match:
    model: _ModelMatch


@dataclass(frozen=True, slots=True)
class _Target:
    model_rewrite: Annotated[str, NOT_EMPTY]
    weight: Annotated[int, between(0, MAX_WEIGHT)] = 0


@dataclass(frozen=True, slots=True)
class _Rule:
    targets: Annotated[tuple[_Target, ...], NOT_EMPTY]
    matches: tuple[_Match, ...] = ()


@dataclass(frozen=True, slots=True)
class _Rewrite:
    name: Annotated[str, NOT_EMPTY]
    rules: Annotated[tuple[_Rule, ...], NOT_EMPTY]


@dataclass(frozen=True, slots=True)
class _File:
    endpoints: tuple[Mapping[str, object], ...]
    """Each an ``_Endpoint``, read on its own."""
    objectives: tuple[_Objective, ...] = ()
    rewrites: tuple[_Rewrite, ...] = ()


def parse(text: str | bytes) -> Discovered:
    """What the file says. Raises ConfigError with every problem: ``endpoints[2].port: ...``.

    ``endpoints: []`` is an empty pool; a file without ``endpoints``, such as one that is being
    written, is an error.
    """
    discovered, problems = usable(text)
    problems.raise_if_any()
    return discovered


def usable(text: str | bytes) -> tuple[Discovered, Problems]:
    """What the file says without the entries that cannot be used, and what is wrong with those.

    Of entries that repeat a name or an address the last is taken. Raises ConfigError where the
    trouble is elsewhere, or no entry can be used.
    """
    file = load(_File, text)
    problems = Problems()
    read: dict[int, EndpointSpec] = {}
    for index, entry in enumerate(file.endpoints):
        try:
            read[index] = _spec(build(_Endpoint, entry, f"endpoints[{index}]"))
        except ConfigError as error:
            problems.include(error)
    names = {index: f"{spec.namespace}/{spec.name}" for index, spec in read.items()}
    addresses = {index: host_port(spec.address, spec.port) for index, spec in read.items()}
    for what, values in (("name", names), ("address", addresses)):
        for index in _repeated(problems, "endpoints", what, values):
            read.pop(index, None)
    objectives = dict(enumerate(entry.name for entry in file.objectives))
    rewrites = dict(enumerate(entry.name for entry in file.rewrites))
    elsewhere = (
        *_repeated(problems, "objectives", "name", objectives),
        *_repeated(problems, "rewrites", "name", rewrites),
    )
    if elsewhere or not read:
        problems.raise_if_any()
    discovered = Discovered(
        endpoints=tuple(read.values()),
        objectives=MappingProxyType({entry.name: entry.priority for entry in file.objectives}),
        rewrites=tuple(_rewrite(entry) for entry in file.rewrites),
    )
    return discovered, problems


def _spec(entry: _Endpoint) -> EndpointSpec:
    return EndpointSpec(
        name=entry.name,
        namespace=entry.namespace or "default",
        address=entry.address,
        port=entry.port,
        labels=MappingProxyType(dict(entry.labels)),
        metrics_port=entry.metrics_port,
    )


def _rewrite(entry: _Rewrite) -> ModelRewrite:
    return ModelRewrite(
        entry.name,
        tuple(
            Rule(
                matches=tuple(match.model.value for match in rule.matches),
                targets=tuple(
                    Target(target.weight, target.model_rewrite) for target in rule.targets
                ),
            )
            for rule in entry.rules
        ),
    )


def _repeated(
    problems: Problems, where: str, what: str, values: Mapping[int, str]
) -> tuple[int, ...]:
    """Indices of entries whose value comes again in a later one."""
    last = {value: index for index, value in values.items()}
    repeated = tuple(index for index, value in values.items() if last[value] != index)
    for index in repeated:
        value = values[index]
        problems.add(f"{where}[{index}].{what}", f"{value} comes again at {where}[{last[value]}]")
    return repeated
