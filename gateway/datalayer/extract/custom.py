"""Engines that the operator describes: ``engineConfigs`` of core-metrics-extractor."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.config.data_sources import EngineConfig
from gateway.datalayer.extract.load import EndpointLoad
from gateway.datalayer.extract.series import (
    cache_sizes,
    first_positive,
    newest_lora,
    positive,
    share,
    total,
)
from loadstar.config.document import join
from loadstar.config.errors import Problems
from loadstar.signals.series_selector import SeriesSelector, parse

DEFAULT_BLOCK_TOKENS_LABEL = "block_size"
DEFAULT_BLOCKS_LABEL = "num_gpu_blocks"


@dataclass(frozen=True, slots=True)
class Described:
    """One engine's metrics by selector; None is a signal that the engine does not report."""

    waiting: SeriesSelector | None
    running: SeriesSelector | None
    kv_used: SeriesSelector | None
    lora: SeriesSelector | None
    cache: SeriesSelector | None
    """An info gauge that carries both sizes as labels."""
    block_tokens_label: str
    blocks_label: str
    block_tokens: SeriesSelector | None
    """A gauge of its own, where there is no info gauge; it goes before the label."""
    blocks: SeriesSelector | None

    @property
    def families(self) -> tuple[bytes, ...]:
        """Those of all selectors."""
        selectors = (
            *(self.waiting, self.running, self.kv_used, self.lora),
            *(self.cache, self.block_tokens, self.blocks),
        )
        return tuple({selector.family: None for selector in selectors if selector is not None})

    def extract(self, page: bytes) -> EndpointLoad:
        """As the built-in engines: counts add up over series, shares are averaged."""
        kv_blocks: float | None = None
        block_tokens: float | None = None
        if self.cache is not None:
            kv_blocks, block_tokens = cache_sizes(
                page,
                self.cache.family,
                self.block_tokens_label,
                self.blocks_label,
                self.cache.choose,
            )
        if self.blocks is not None:
            kv_blocks = positive(page, self.blocks.family, self.blocks.choose)
        if self.block_tokens is not None:
            block_tokens = first_positive(page, self.block_tokens.family, self.block_tokens.choose)
        return EndpointLoad(
            waiting=_total(page, self.waiting),
            running=_total(page, self.running),
            kv_used=None
            if self.kv_used is None
            else share(page, self.kv_used.family, choose=self.kv_used.choose),
            kv_blocks=kv_blocks,
            block_tokens=block_tokens,
            lora=None
            if self.lora is None
            else newest_lora(page, self.lora.family, self.lora.choose),
        )


def _total(page: bytes, selector: SeriesSelector | None) -> float | None:
    return None if selector is None else total(page, selector.family, choose=selector.choose)


def described(config: EngineConfig, path: str, problems: Problems) -> Described:
    """``config`` with its selectors parsed; what is wrong with them goes into ``problems``."""

    def selector(text: str, key: str) -> SeriesSelector | None:
        if not text.strip():
            return None
        try:
            return parse(text, bare=True)
        except ValueError as error:
            problems.add(join(path, key), str(error))
            return None

    return Described(
        waiting=selector(config.queued_requests_spec, "queuedRequestsSpec"),
        running=selector(config.running_requests_spec, "runningRequestsSpec"),
        kv_used=selector(config.kv_usage_spec, "kvUsageSpec"),
        lora=selector(config.lora_spec, "loraSpec"),
        cache=selector(config.cache_info_spec, "cacheInfoSpec"),
        block_tokens_label=config.cache_block_size_label_name or DEFAULT_BLOCK_TOKENS_LABEL,
        blocks_label=config.cache_num_blocks_label_name or DEFAULT_BLOCKS_LABEL,
        block_tokens=selector(config.cache_block_size_spec, "cacheBlockSizeSpec"),
        blocks=selector(config.cache_num_blocks_spec, "cacheNumBlocksSpec"),
    )
