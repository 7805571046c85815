"""The dataLayer section with its references bound: one value that the data layer acts on."""

from __future__ import annotations

from gateway.config.data_sources import (
    CoreMetrics,
    DataLayer,
    FileDiscovery,
    MetricsSource,
    ModelsExtractor,
    ModelsSource,
    NotificationSource,
)
from gateway.config.picker import DataLayerSpec, SourceSpec
from gateway.scheduling.instances import Instances
from loadstar.config.errors import Problems

SOURCES = (MetricsSource, ModelsSource, NotificationSource)
EXTRACTORS = (CoreMetrics, ModelsExtractor)


def bind_data_layer(
    spec: DataLayerSpec | None, instances: Instances, problems: Problems
) -> DataLayer:
    """``spec``, and what it leaves to be defaulted: one metrics source and its extractor."""
    given = spec if spec is not None else DataLayerSpec()
    metrics: MetricsSource | None = None
    models: ModelsSource | None = None
    extractor = CoreMetrics()
    for index, source in enumerate(given.sources):
        path = f"dataLayer.sources[{index}]"
        found = instances.named(source.plugin_ref, f"{path}.pluginRef", SOURCES, "data source")
        core = _core_metrics(source, path, instances)
        if isinstance(found, ModelsSource):
            models = found
        elif isinstance(found, MetricsSource) and metrics is not None:
            problems.add(f"{path}.pluginRef", "a second metrics source is not supported")
        elif isinstance(found, MetricsSource):
            metrics, extractor = found, core or extractor
    if metrics is None and given.inject_defaults:
        metrics = next((p for _, p in instances.of_kind(MetricsSource)), MetricsSource())
        extractor = next((p for _, p in instances.of_kind(CoreMetrics)), extractor)
    discovery: FileDiscovery | None = None
    if given.discovery is not None:
        discovery = instances.named(
            given.discovery.plugin_ref,
            "dataLayer.discovery.pluginRef",
            (FileDiscovery,),
            "discovery plugin",
        )
    if given.peer_discovery is not None:
        instances.named(given.peer_discovery.plugin_ref, "dataLayer.peerDiscovery.pluginRef")
    if given.cross_replica_syncer_plugin_ref:
        instances.named(
            given.cross_replica_syncer_plugin_ref, "dataLayer.crossReplicaSyncerPluginRef"
        )
    return DataLayer(discovery, metrics, extractor, models)


def _core_metrics(source: SourceSpec, path: str, instances: Instances) -> CoreMetrics | None:
    found: CoreMetrics | None = None
    for index, reference in enumerate(source.extractors):
        here = f"{path}.extractors[{index}].pluginRef"
        extractor = instances.named(reference.plugin_ref, here, EXTRACTORS, "extractor")
        if isinstance(extractor, CoreMetrics):
            found = extractor
    return found
