"""From the text of an EndpointPickerConfig to what it describes, with this product's plugins.

What ``main`` calls at start-up and on a reload; everything else of it is a layer below.
"""

from __future__ import annotations

from gateway.config.defaults import DEFAULT
from gateway.config.picker import parse
from gateway.plugins.catalog import CATALOG
from gateway.scheduling.build import Built, build
from gateway.scheduling.plugin_type import Settings
from gateway.scheduling.warm import warm


def load(text: str | bytes | None, settings: Settings) -> Built:
    """The configuration in ``text``, else the default one, with its kernels compiled.

    Compiling takes seconds the first time on a machine and is cached on disk after that.

    Raises:
        ConfigError: with everything that is wrong.
    """
    config = parse(text) if text else DEFAULT
    built = build(config, CATALOG, settings, DEFAULT)
    warm(built.scheduler, built.saturation)
    return built
