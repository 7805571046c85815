"""EndpointPickerConfig + catalog of plugins -> what it describes, with every reference bound.

All that is wrong is said at once, each with the path of the place to mend. What is accepted but
not acted on becomes a Notice, which start-up logs. The catalog is an argument, since plugins
stand above scheduling. Called by ``main``, once per configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.config.data_sources import DataLayer
from gateway.config.gates import read_gates
from gateway.config.notices import Notice, notices
from gateway.config.picker import (
    EndpointPickerConfig,
    ResponseProcessing,
    SchedulingPlugin,
    SchedulingProfile,
)
from gateway.scheduling.bind_data import bind_data_layer
from gateway.scheduling.instances import Instances, NamedPlugin
from gateway.scheduling.plugin_type import Catalog, Parser, Policy, ServedReporter, Settings
from gateway.scheduling.profile import NamedFilter, Profile, WeightedScorer
from gateway.scheduling.scheduler import Scheduler
from gateway.scheduling.types import Filter, Picker, ProfileHandler, SaturationDetector, Scorer
from loadstar.config.errors import ConfigError, Problems

DEFAULT_PROFILE = "default"
DEFAULT_PICKER = "max-score-picker"
DEFAULT_HANDLER = "single-profile-handler"
DEFAULT_DETECTOR = "utilization-detector"
DEFAULT_PARSERS = ("openai-parser", "anthropic-parser", "vllmhttp-parser", "passthrough-parser")
DEFAULT_WEIGHT = 1.0


@dataclass(frozen=True, slots=True)
class Built:
    """What a configuration describes."""

    scheduler: Scheduler
    plugins: tuple[NamedPlugin, ...]
    """All that the scheduler uses."""
    saturation: SaturationDetector
    data_layer: DataLayer
    gates: Mapping[str, bool]
    parsers: tuple[str, ...]
    """Names of the request parsers, in order of preference."""
    response_processing: ResponseProcessing
    report_served: bool
    """Answer with ``x-conformance-test-served-endpoint``."""
    notices: tuple[Notice, ...]


def build(
    config: EndpointPickerConfig,
    catalog: Catalog,
    settings: Settings,
    fallback: EndpointPickerConfig,
) -> Built:
    """Bind ``config`` to the plugins of ``catalog``.

    ``fallback`` lends its plugins and profile to a ``config`` that has neither a profile nor a
    plugin to put into one: an operator who only says where the endpoints are.

    Raises:
        ConfigError: with everything that is wrong.
    """
    problems = Problems()
    gates = read_gates(config.feature_gates, problems)
    instances = Instances(catalog, settings, problems)
    instances.add(config.plugins)
    specs = _profile_specs(config, instances, fallback)
    handler = _handler(specs, instances, problems)
    profiles = _profiles(specs, instances, problems)
    saturation = _saturation(config, instances)
    data_layer = bind_data_layer(config.data_layer, instances, problems)
    parsers = _parsers(config, instances)
    _check_policies(config, instances)
    problems.raise_if_any()
    if handler is None or saturation is None:  # told above; this is for the type checker
        raise ConfigError.of("", "the configuration is incomplete")
    return Built(
        scheduler=Scheduler(profiles, handler, instances.plugins.values(), settings.confidence),
        plugins=instances.known(),
        saturation=saturation,
        data_layer=data_layer,
        gates=gates,
        parsers=parsers,
        response_processing=config.response_processing,
        report_served=any(True for _ in instances.of_kind(ServedReporter)),
        notices=(*notices(config, gates), *instances.notices),
    )


def _profile_specs(
    config: EndpointPickerConfig, instances: Instances, fallback: EndpointPickerConfig
) -> tuple[SchedulingProfile, ...]:
    if config.scheduling_profiles:
        return config.scheduling_profiles
    usable = tuple(name for name, _ in instances.of_kind((Filter, Scorer, Picker)))
    if usable or instances.broken:
        plugins = tuple(SchedulingPlugin(name) for name in usable)
        return (SchedulingProfile(DEFAULT_PROFILE, plugins),)
    instances.notices.append(
        Notice("schedulingProfiles", "there is none: the built-in default profile is used")
    )
    missing = [spec for spec in fallback.plugins if spec.known_as not in instances.plugins]
    instances.add(missing, where="defaults")
    return fallback.scheduling_profiles


def _handler(
    specs: tuple[SchedulingProfile, ...], instances: Instances, problems: Problems
) -> ProfileHandler | None:
    handlers: dict[str, ProfileHandler] = dict(instances.of_kind(ProfileHandler))
    if len(handlers) > 1:
        names = " and ".join(f'"{name}"' for name in handlers)
        problems.add("plugins", f"{names} are profile handlers; only one is allowed")
        return None
    if handlers:
        name, found = next(iter(handlers.items()))
        return _within(found, name, specs, problems)
    if instances.broken:  # one of those may be the handler
        return None
    if len(specs) > 1:
        problems.add(
            "schedulingProfiles",
            f"{len(specs)} profiles need a profile handler among the plugins",
        )
        return None
    default = instances.default(DEFAULT_HANDLER)
    if not isinstance(default, ProfileHandler):
        raise TypeError(f"the catalog's {DEFAULT_HANDLER} is not a profile handler")
    return default


def _within(
    handler: ProfileHandler, name: str, specs: tuple[SchedulingProfile, ...], problems: Problems
) -> ProfileHandler:
    if handler.most_profiles is not None and len(specs) > handler.most_profiles:
        problems.add(
            "schedulingProfiles",
            f'"{name}" runs {handler.most_profiles} profile, not the {len(specs)} there are',
        )
    return handler


def _profiles(
    specs: tuple[SchedulingProfile, ...], instances: Instances, problems: Problems
) -> list[Profile]:
    profiles: list[Profile] = []
    for index, spec in enumerate(specs):
        path = f"schedulingProfiles[{index}]"
        if any(spec.name == earlier.name for earlier in specs[:index]):
            problems.add(f"{path}.name", f'two profiles are called "{spec.name}"')
        profile = _profile(spec, path, instances, problems)
        if profile is not None:
            profiles.append(profile)
    return profiles


def _profile(
    spec: SchedulingProfile, path: str, instances: Instances, problems: Problems
) -> Profile | None:
    """The profile as far as it can be bound; None where its picker could not be made."""
    filters: list[NamedFilter] = []
    scorers: list[WeightedScorer] = []
    pickers: list[tuple[str, Picker]] = []
    for index, used in enumerate(spec.plugins):
        here, name = f"{path}.plugins[{index}]", used.plugin_ref
        plugin = instances.named(name, f"{here}.pluginRef")
        if plugin is None:
            continue
        if not isinstance(plugin, Filter | Scorer | Picker):
            unused = f'"{name}" is no filter, scorer or picker: a profile has no use for it'
            instances.notices.append(Notice(f"{here}.pluginRef", unused))
        if isinstance(plugin, Filter):
            filters.append(NamedFilter(name, plugin))
        if isinstance(plugin, Scorer):
            weight = DEFAULT_WEIGHT if used.weight is None else used.weight
            if weight < 0:
                problems.add(f"{here}.weight", f"must not be negative, not {weight:g}")
            scorers.append(WeightedScorer(plugin, weight))
        elif used.weight is not None:
            problems.add(f"{here}.weight", f'"{name}" is not a scorer, it takes no weight')
        if isinstance(plugin, Picker):
            if pickers:
                problems.add(
                    f"{here}.pluginRef",
                    f'"{name}" is a second picker; the profile has "{pickers[0][0]}"',
                )
            pickers.append((name, plugin))
    picker = pickers[0][1] if pickers else _any_picker(instances)
    if picker is None:
        return None
    return Profile(spec.name, tuple(filters), tuple(scorers), picker)


def _any_picker(instances: Instances) -> Picker | None:
    """For a profile without one: the first that is configured, else the default.

    None where something is broken already, which may be the picker.
    """
    for _, picker in instances.of_kind(Picker):
        if isinstance(picker, Picker):
            return picker
    if instances.broken:
        return None
    picker = instances.default(DEFAULT_PICKER)
    if not isinstance(picker, Picker):
        raise TypeError(f"the catalog's {DEFAULT_PICKER} is not a picker")
    return picker


def _saturation(config: EndpointPickerConfig, instances: Instances) -> SaturationDetector | None:
    flow = config.flow_control
    if flow is not None and flow.saturation_detector is not None:
        path, name = "flowControl.saturationDetector", flow.saturation_detector.plugin_ref
    elif config.saturation_detector is not None:
        path, name = "saturationDetector", config.saturation_detector.plugin_ref
    else:
        path, name = "saturationDetector", ""
    if name in ("", DEFAULT_DETECTOR):
        name = DEFAULT_DETECTOR
        instances.default(name)
    found: SaturationDetector | None = instances.named(
        name, f"{path}.pluginRef", (SaturationDetector,), "saturation detector"
    )
    return found


def _parsers(config: EndpointPickerConfig, instances: Instances) -> tuple[str, ...]:
    if config.request_handler is not None and config.request_handler.parsers:
        path, references = "requestHandler.parsers[{}]", config.request_handler.parsers
    elif config.parser is not None:
        path, references = "parser", (config.parser,)
    else:
        return DEFAULT_PARSERS
    names = tuple(reference.plugin_ref for reference in references)
    for index, name in enumerate(names):
        # As in the reference, a parser need not be among the plugins to be referred to.
        if name in DEFAULT_PARSERS:
            instances.default(name)
        instances.named(name, f"{path.format(index)}.pluginRef", (Parser,), "parser")
    return names


def _check_policies(config: EndpointPickerConfig, instances: Instances) -> None:
    """References to policies must hold, although nothing acts on the policies yet."""
    flow = config.flow_control
    if flow is None:
        return
    references = {"usageLimitPolicyPluginRef": flow.usage_limit_policy_plugin_ref}
    bands = {f"priorityBands[{index}]": band for index, band in enumerate(flow.priority_bands)}
    for name, band in (
        ("defaultPriorityBand", flow.default_priority_band),
        ("defaultNegativePriorityBand", flow.default_negative_priority_band),
        *bands.items(),
    ):
        if band is not None:
            references[f"{name}.fairnessPolicyRef"] = band.fairness_policy_ref
            references[f"{name}.orderingPolicyRef"] = band.ordering_policy_ref
    for place, name in references.items():
        if name in (
            "global-strict-fairness-policy",
            "fcfs-ordering-policy",
            "static-usage-limit-policy",
        ):
            instances.default(name)
        if name:
            instances.named(name, f"flowControl.{place}", (Policy,), "flow-control policy")
