"""Follows the file of ``--config``: a good one takes effect, a bad one changes nothing. IO."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from loadstar.aio.changes import Changes
from loadstar.config.errors import ConfigError
from loadstar.files import contents
from metrics_adapter.adapter_config import AdapterConfig, parse_config
from metrics_adapter.metrics import Metrics

log = logging.getLogger(__name__)

MAX_BYTES = 4 << 20
"""More than a ConfigMap can hold."""


def read(path: str) -> AdapterConfig:
    """What the file says; without a path, the defaults. Raises ConfigError, naming the file."""
    if not path:
        return AdapterConfig()
    try:
        text = contents(path, MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError.of(path, error.strerror or str(error)) from error
    if len(text) > MAX_BYTES:
        raise ConfigError.of(path, f"is longer than {MAX_BYTES} bytes")
    return parse_config(text)


def read_or_defaults(path: str) -> AdapterConfig:
    """``read``, but for a file that cannot be used the defaults: where another source will say."""
    try:
        return read(path)
    except ConfigError as error:
        for problem in error.problems:
            log.error("not a configuration to start with: %s", problem)
        return AdapterConfig()


async def follow(
    path: str,
    first: AdapterConfig,
    use: Callable[[AdapterConfig], None],
    metrics: Metrics,
) -> None:
    """Hand each changed configuration to ``use`` (which raises ConfigError), until cancelled."""
    if not path:
        return
    changes = Changes([Path(path)])
    in_force = first
    await changes.look()
    while True:
        try:
            config = await asyncio.to_thread(read, path)
            if config != in_force:
                use(config)
                in_force = config
                metrics.reloaded("config", ok=True)
                log.info("configuration taken", extra={"file": path})
        except ConfigError as error:
            metrics.reloaded("config", ok=False)
            for problem in error.problems:
                log.error("configuration not taken, the last good one stays: %s", problem)
        await changes.next()
