"""Engine name -> how its page is read, and which engine an endpoint runs.

Built once from the ``core-metrics-extractor`` parameters; the scraper asks it for every endpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.config.data_sources import RESERVED_ENGINE, CoreMetrics
from gateway.datalayer.extract import jetstream, sglang, tgi, triton, trtllm_serve, vllm
from gateway.datalayer.extract.custom import Described, described
from gateway.datalayer.extract.excerpt import extractor, warm_up
from gateway.datalayer.extract.load import EndpointLoad
from loadstar.config.errors import Problems, did_you_mean

LEGACY_ENGINE_LABEL = "inference.networking.k8s.io/engine-type"


@dataclass(frozen=True, slots=True)
class Engine:
    """One kind of model server."""

    name: str
    extract: Callable[[bytes], EndpointLoad]
    reports: tuple[str, ...]
    """Fields of ``EndpointLoad`` that every page of it should have."""

    def missing(self, load: EndpointLoad) -> tuple[str, ...]:
        """Those that this page does not have."""
        return tuple(name for name in self.reports if getattr(load, name) is None)


_ALL = ("waiting", "running", "kv_used")

BUILT_IN: Mapping[str, Engine] = MappingProxyType(
    {
        engine.name: engine
        for engine in (
            Engine("vllm", extractor(vllm.extract, vllm.FAMILIES), _ALL),
            Engine("sglang", extractor(sglang.extract, sglang.FAMILIES), _ALL),
            Engine(
                "jetstream",
                extractor(jetstream.extract, jetstream.FAMILIES),
                ("waiting", "kv_used"),
            ),
            Engine(
                "triton-tensorrt-llm",
                extractor(triton.extract_tensorrt_llm, triton.FAMILIES),
                _ALL,
            ),
            Engine("triton", extractor(triton.extract_plain, triton.PLAIN_FAMILIES), ("waiting",)),
            Engine("trtllm-serve", extractor(trtllm_serve.extract, trtllm_serve.FAMILIES), _ALL),
            Engine("tgi", extractor(tgi.extract, tgi.FAMILIES), ("waiting", "running")),
        )
    }
)


@dataclass(frozen=True, slots=True)
class Engines:
    """Every engine known, and which one a pod's labels name."""

    by_name: Mapping[str, Engine]
    default: Engine
    label: str

    def named(self, labels: Mapping[str, str]) -> str:
        """What ``labels`` call their engine; "" if they do not, or ask for the default."""
        name = labels.get(self.label) or labels.get(LEGACY_ENGINE_LABEL) or ""
        return "" if name == RESERVED_ENGINE else name

    def choose(self, labels: Mapping[str, str]) -> Engine:
        """The engine that ``labels`` name; the default if they name none, or one not known."""
        return self.by_name.get(self.named(labels), self.default)


def engines(parameters: CoreMetrics, path: str = "") -> Engines:
    """The engines of ``parameters``, which stand at ``path`` of their document.

    Raises ConfigError for selectors that cannot be read and a default that does not exist. What
    reads pages is compiled by then.
    """
    warm_up()
    problems = Problems()
    known = dict(BUILT_IN)
    prefix = f"{path}." if path else ""
    for index, config in enumerate(parameters.engine_configs):
        custom = described(config, f"{prefix}engineConfigs[{index}]", problems)
        known[config.name] = Engine(
            config.name, extractor(custom.extract, custom.families), _reported(custom)
        )
    default = known.get(parameters.default_engine)
    if default is None:
        hint = did_you_mean(parameters.default_engine, known)
        problems.add(f"{prefix}defaultEngine", f"no engine is called so{hint}")
        default = BUILT_IN["vllm"]  # for the type alone: the next line raises
    problems.raise_if_any()
    return Engines(MappingProxyType(known), default, parameters.engine_label_key)


def _reported(custom: Described) -> tuple[str, ...]:
    return tuple(name for name in _ALL if getattr(custom, name) is not None)
