"""A configuration becomes a scheduler, or every reason why it cannot, by path."""

from __future__ import annotations

import pytest

from gateway.config.data_sources import (
    CoreMetrics,
    DataLayer,
    EngineConfig,
    FileDiscovery,
    MetricsSource,
)
from gateway.config.defaults import DEFAULT
from gateway.config.picker import parse
from gateway.plugins.catalog import CATALOG, TYPES, UNBUILT
from gateway.plugins.detectors.concurrency import ConcurrencyDetector
from gateway.plugins.detectors.utilization import UtilizationDetector
from gateway.plugins.pickers.max_score import MaxScore
from gateway.plugins.pickers.random_choice import RandomChoice
from gateway.plugins.scorers.kv_cache import KvCache
from gateway.plugins.scorers.predicted_cost import PredictedCost
from gateway.plugins.scorers.queue_depth import QueueDepth
from gateway.scheduling.build import Built, build
from gateway.scheduling.plugin_type import Settings
from loadstar.arrays import Floats
from loadstar.config.errors import ConfigError

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


def believe(observed_at: Floats, now: float) -> Floats:
    return (now - observed_at <= 2.0).astype(float)


def built(text: str) -> Built:
    return build(parse(HEAD + text), CATALOG, Settings(believe, staleness=2.0), DEFAULT)


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        built(text)
    return [str(problem) for problem in caught.value.problems]


def test_a_profile_is_bound_in_order() -> None:
    made = built(
        """
plugins: [{type: kv-cache-utilization-scorer}, {type: queue-scorer}, {type: random-picker},
          {type: decode-filter}]
schedulingProfiles:
- name: mine
  plugins: [{pluginRef: decode-filter}, {pluginRef: queue-scorer, weight: 2},
            {pluginRef: random-picker}, {pluginRef: kv-cache-utilization-scorer}]
"""
    )
    profile = made.scheduler.profiles["mine"]
    assert [named.name for named in profile.filters] == ["decode-filter"]
    assert [(w.scorer, w.weight) for w in profile.scorers] == [
        (QueueDepth(), 2.0),
        (KvCache(), 1.0),
    ]
    assert profile.picker == RandomChoice()
    assert made.notices == ()


def test_a_profile_without_a_picker_gets_the_one_there_is_or_the_best() -> None:
    picker = "schedulingProfiles: [{name: a, plugins: [{pluginRef: queue-scorer}]}]"
    random = built("plugins: [{type: queue-scorer}, {type: random-picker}]\n" + picker)
    assert random.scheduler.profiles["a"].picker == RandomChoice()
    alone = built("plugins: [{type: queue-scorer}]\n" + picker)
    assert alone.scheduler.profiles["a"].picker == MaxScore()


def test_without_profiles_all_scheduling_plugins_make_one() -> None:
    made = built(
        "plugins: [{type: queue-scorer}, {type: decode-filter},"
        " {type: file-discovery, parameters: {path: /x}}]"
    )
    profile = made.scheduler.profiles["default"]
    assert [named.name for named in profile.filters] == ["decode-filter"]
    assert [(w.scorer, w.weight) for w in profile.scorers] == [(QueueDepth(), 1.0)]


def test_without_any_scheduling_plugin_the_default_profile_is_used_and_said() -> None:
    made = built("plugins: [{type: file-discovery, parameters: {path: /x}}]")
    (scorer,) = made.scheduler.profiles["default"].scorers
    assert isinstance(scorer.scorer, PredictedCost)
    assert [notice.path for notice in made.notices] == ["schedulingProfiles"]


def test_what_is_not_said_of_other_parts_is_defaulted() -> None:
    made = built("")
    assert made.data_layer == DataLayer(metrics=MetricsSource(), extractor=CoreMetrics())
    assert isinstance(made.saturation, UtilizationDetector)
    assert made.saturation.staleness == 2.0
    assert made.parsers == (
        "openai-parser",
        "anthropic-parser",
        "vllmhttp-parser",
        "passthrough-parser",
    )
    assert made.report_served is False


def test_the_data_layer_is_bound() -> None:
    made = built(
        """
plugins:
- {name: files, type: file-discovery, parameters: {path: /etc/e.yaml, watchFile: true}}
- {name: pages, type: metrics-data-source, parameters: {scheme: https, port: 9100, interval: 1s}}
- name: engines
  type: core-metrics-extractor
  parameters:
    defaultEngine: mine
    engineConfigs: [{name: mine, queuedRequestsSpec: 'q{a="b"}', kvUsageSpec: kv}]
dataLayer:
  discovery: {pluginRef: files}
  sources: [{pluginRef: pages, extractors: [{pluginRef: engines}]}]
"""
    )
    assert made.data_layer == DataLayer(
        discovery=FileDiscovery("/etc/e.yaml", watch_file=True),
        metrics=MetricsSource(scheme="https", port=9100, interval=1.0),
        extractor=CoreMetrics(
            default_engine="mine",
            engine_configs=(
                EngineConfig("mine", queued_requests_spec='q{a="b"}', kv_usage_spec="kv"),
            ),
        ),
    )


def test_default_sources_can_be_declined() -> None:
    assert built("dataLayer: {injectDefaults: false}").data_layer.metrics is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("flowControl: {saturationDetector: {pluginRef: full}}", id="new place"),
        pytest.param("saturationDetector: {pluginRef: full}", id="old place"),
        pytest.param(
            "saturationDetector: {pluginRef: utilization-detector}\n"
            "flowControl: {saturationDetector: {pluginRef: full}}",
            id="the new place goes before the old",
        ),
    ],
)
def test_the_saturation_detector_is_bound(text: str) -> None:
    made = built("plugins: [{name: full, type: concurrency-detector}]\n" + text)
    assert isinstance(made.saturation, ConcurrencyDetector)


def test_a_plugin_s_name_defaults_to_its_type_and_references_use_the_name() -> None:
    made = built(
        "plugins: [{name: q, type: queue-scorer}]\n"
        "schedulingProfiles: [{name: a, plugins: [{pluginRef: q}]}]"
    )
    assert made.scheduler.profiles["a"].scorers[0].scorer == QueueDepth()
    assert problems(
        "plugins: [{name: q, type: queue-scorer}]\n"
        "schedulingProfiles: [{name: a, plugins: [{pluginRef: queue-scorer}]}]"
    ) == ['schedulingProfiles[0].plugins[0].pluginRef: no plugin is called "queue-scorer"']


PROFILE = "schedulingProfiles: [{name: a, plugins: [%s]}]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "plugins: [{type: que-scorer}]",
            ['plugins[0].type: unknown plugin type "que-scorer", did you mean queue-scorer?'],
            id="unknown type",
        ),
        pytest.param(
            "plugins: [{type: queue-scorer}, {name: queue-scorer, type: random-picker}]",
            ['plugins[1].name: two plugins are called "queue-scorer"'],
            id="duplicate name",
        ),
        pytest.param(
            "plugins: [{type: max-score-picker}, {type: random-picker}]\n"
            + PROFILE % "{pluginRef: max-score-picker}, {pluginRef: random-picker}",
            [
                'schedulingProfiles[0].plugins[1].pluginRef: "random-picker" is a second picker; '
                'the profile has "max-score-picker"'
            ],
            id="two pickers",
        ),
        pytest.param(
            "plugins: [{type: single-profile-handler}, {name: b, type: single-profile-handler}]",
            ['plugins: "single-profile-handler" and "b" are profile handlers; only one is allowed'],
            id="two handlers",
        ),
        pytest.param(
            "plugins: [{type: single-profile-handler}]\nschedulingProfiles: [{name: a}, {name: b}]",
            ['schedulingProfiles: "single-profile-handler" runs 1 profile, not the 2 there are'],
            id="several profiles with the single handler",
        ),
        pytest.param(
            "schedulingProfiles: [{name: a}, {name: b}]",
            ["schedulingProfiles: 2 profiles need a profile handler among the plugins"],
            id="several profiles without a handler",
        ),
        pytest.param(
            "plugins: [{type: single-profile-handler}]\nschedulingProfiles: [{name: a}, {name: a}]",
            [
                'schedulingProfiles: "single-profile-handler" runs 1 profile, not the 2 there are',
                'schedulingProfiles[1].name: two profiles are called "a"',
            ],
            id="duplicate profile",
        ),
        pytest.param(
            "plugins: [{type: queue-scorer}]\n" + PROFILE % "{pluginRef: que-scorer}",
            [
                'schedulingProfiles[0].plugins[0].pluginRef: no plugin is called "que-scorer", '
                "did you mean queue-scorer?"
            ],
            id="undefined reference",
        ),
        pytest.param(
            "featureGates: [flowControll]",
            ['featureGates[0]: unknown feature gate "flowControll", did you mean flowControl?'],
            id="unknown gate",
        ),
        pytest.param(
            "plugins: [{type: decode-filter}, {type: random-picker}]\n"
            + PROFILE
            % "{pluginRef: decode-filter, weight: 1}, {pluginRef: random-picker, weight: 1}",
            [
                'schedulingProfiles[0].plugins[0].weight: "decode-filter" is not a scorer, '
                "it takes no weight",
                'schedulingProfiles[0].plugins[1].weight: "random-picker" is not a scorer, '
                "it takes no weight",
            ],
            id="weight on what is no scorer",
        ),
        pytest.param(
            "plugins: [{type: queue-scorer}]\n" + PROFILE % "{pluginRef: queue-scorer, weight: -1}",
            ["schedulingProfiles[0].plugins[0].weight: must not be negative, not -1"],
            id="negative weight",
        ),
        pytest.param(
            "plugins: [{type: load-aware-scorer, parameters: {threshold: many}},"
            " {type: queue-scorer, parameters: {threshold: 1}}]",
            [
                'plugins[0].parameters.threshold: must be a whole number, not "many"',
                "plugins[1].parameters.threshold: unknown key",
            ],
            id="parameters",
        ),
        pytest.param(
            "plugins: [{type: file-discovery}]",
            ["plugins[0].parameters.path: is required"],
            id="a required parameter",
        ),
        pytest.param(
            "plugins: [{type: precise-prefix-cache-scorer}]",
            [
                'plugins[0].type: "precise-prefix-cache-scorer" is known but not built: '
                "it needs KV events, which this version does not read"
            ],
            id="known but not built",
        ),
        pytest.param(
            "plugins: [{type: prefix-cache-scorer, "
            "parameters: {prefixMatchInfoProducerName: nobody}}]",
            [
                'plugins[0].parameters: "nobody" is not a configured plugin of the right type',
            ],
            id="a producer that is not there",
        ),
        pytest.param(
            "plugins: [{type: precise-prefix-cache-producer}, {type: prefix-cache-scorer, "
            "parameters: {prefixMatchInfoProducerName: precise-prefix-cache-producer}}]\n"
            + PROFILE
            % "{pluginRef: prefix-cache-scorer}",
            [
                'plugins[0].type: "precise-prefix-cache-producer" is known but not built: '
                "it needs KV events, which this version does not read"
            ],
            id="a producer whose problem is told already",
        ),
        pytest.param(
            "plugins: [{type: queue-scorer}]\n"
            "dataLayer: {sources: [{pluginRef: queue-scorer, extractors: [{pluginRef: nope}]}],"
            " discovery: {pluginRef: queue-scorer}}",
            [
                'dataLayer.sources[0].pluginRef: "queue-scorer" (queue-scorer) is not a '
                "data source",
                'dataLayer.sources[0].extractors[0].pluginRef: no plugin is called "nope"',
                'dataLayer.discovery.pluginRef: "queue-scorer" (queue-scorer) is not a '
                "discovery plugin",
            ],
            id="the wrong kind in the data layer",
        ),
        pytest.param(
            "plugins: [{type: max-score-picker, parameters: {maxNumOfEndpoints: 0}}]\n"
            + PROFILE % "{pluginRef: max-score-picker}",
            ["plugins[0].parameters.maxNumOfEndpoints: must be at least 1, not 0"],
            id="a picker that cannot be made, where the default one would have its name",
        ),
        pytest.param(
            "plugins: [{type: queue-scorer}]\nsaturationDetector: {pluginRef: queue-scorer}",
            [
                'saturationDetector.pluginRef: "queue-scorer" (queue-scorer) is not a '
                "saturation detector"
            ],
            id="the wrong kind of detector",
        ),
        pytest.param(
            "requestHandler: {parsers: [{pluginRef: openai-parser}, {pluginRef: zzz}]}",
            ['requestHandler.parsers[1].pluginRef: no plugin is called "zzz"'],
            id="an undefined parser",
        ),
        pytest.param(
            "flowControl: {priorityBands: [{priority: 1, fairnessPolicyRef: none}]}",
            ['flowControl.priorityBands[0].fairnessPolicyRef: no plugin is called "none"'],
            id="an undefined policy",
        ),
        pytest.param(
            "plugins: [{type: latency-scorer}, {type: queue-scorer, parameters: {x: 1}}]\n"
            "featureGates: [zzz]\n" + PROFILE % "{pluginRef: latency-scorer}, {pluginRef: nobody}",
            [
                'featureGates[0]: unknown feature gate "zzz"',
                'plugins[0].type: "latency-scorer" is known but not built: it needs the latency '
                "predictor's servers, which this version does not call",
                "plugins[1].parameters.x: unknown key",
                'schedulingProfiles[0].plugins[1].pluginRef: no plugin is called "nobody"',
            ],
            id="everything at once, and nothing twice",
        ),
    ],
)
def test_what_is_wrong_is_named(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


@pytest.mark.parametrize(
    ("plugins", "until_the_end"),
    [
        ("{type: concurrency-detector}", False),
        (
            "{type: concurrency-detector, "
            "parameters: {inFlightLoadProducerName: inflight-load-producer}}",
            False,
        ),
        (
            "{type: concurrency-detector, parameters: {inFlightLoadProducerName: mine}}, "
            "{type: inflight-load-producer}, {name: mine, type: inflight-load-producer, "
            "parameters: {addEstimatedOutputTokens: true}}",
            True,
        ),
    ],
    ids=["nobody named", "the default named", "another named"],
)
def test_how_tokens_are_counted_is_said_by_the_inflight_producer(
    plugins: str, until_the_end: bool
) -> None:
    made = built(f"plugins: [{plugins}]\nsaturationDetector: {{pluginRef: concurrency-detector}}")
    assert isinstance(made.saturation, ConcurrencyDetector)
    assert made.saturation.until_the_end is until_the_end


def test_the_tables_of_built_and_unbuilt_types_do_not_overlap() -> None:
    assert set(TYPES).isdisjoint(UNBUILT)


@pytest.mark.parametrize(
    "name", sorted(set(TYPES) - {"file-discovery", "by-label", "utilization-filter"})
)
def test_every_type_has_defaults_for_its_parameters(name: str) -> None:
    built(f"plugins: [{{type: {name}}}]")


@pytest.mark.parametrize(
    ("name", "notice"),
    [
        ("by-label-selector", '"by-label-selector" is deprecated, use label-selector-filter'),
        (
            "edf-ordering-policy",
            '"edf-ordering-policy" is read but has no effect: this version does not queue requests',
        ),
    ],
)
def test_what_a_plugin_makes_start_up_say(name: str, notice: str) -> None:
    told = built(f"plugins: [{{type: queue-scorer}}, {{type: {name}}}]").notices
    assert [str(one) for one in told] == [f"plugins[1]: {notice}"]


def test_the_routers_example_without_kubernetes_is_served() -> None:
    """It gives its profile handler parameters that nothing reads, and names it in the profile."""
    made = built(
        """
plugins:
- {name: file-disc, type: file-discovery, parameters: {path: /etc/epp/endpoints.yaml}}
- {name: kv-cache-scorer, type: kv-cache-utilization-scorer}
- {name: random-picker, type: random-picker}
- name: single-profile
  type: single-profile-handler
  parameters: {scorer: kv-cache-scorer, picker: random-picker}
schedulingProfiles:
- name: default
  plugins: [{pluginRef: single-profile}]
dataLayer: {discovery: {pluginRef: file-disc}}
"""
    )
    profile = made.scheduler.profiles["default"]
    assert (profile.filters, profile.scorers, profile.picker) == ((), (), RandomChoice())
    assert [str(one) for one in made.notices] == [
        "plugins[3].parameters.picker: has no effect",
        "plugins[3].parameters.scorer: has no effect",
        'schedulingProfiles[0].plugins[0].pluginRef: "single-profile" is no filter, scorer or '
        "picker: a profile has no use for it",
    ]
