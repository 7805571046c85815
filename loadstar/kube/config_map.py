"""Which ConfigMap, and which of its keys, says what to serve with: ``--config-map``. Pure.

``of`` takes the API's document and gives the key's text, or says what is wrong with the object;
``seen`` does so without raising, and keeps what an Event on the object needs.
Following it is for the services' ``policy_watch``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loadstar.config.errors import ConfigError
from loadstar.kube.objects import ObjectRef

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")


@dataclass(frozen=True, slots=True)
class Seen:
    """What is kept of the object: enough to take its text, and to speak about it."""

    about: ObjectRef
    resource_version: str
    text: bytes
    wrong: ConfigError | None
    """Why there is no text."""


@dataclass(frozen=True, slots=True)
class ConfigMapRef:
    """One key of one ConfigMap."""

    namespace: str
    name: str
    key: str = ""
    """The only one there is, if empty."""

    @classmethod
    def parse(cls, text: str) -> ConfigMapRef:
        """``NAMESPACE/NAME[/KEY]``. Raises ValueError."""
        parts = text.split("/")
        if len(parts) not in (2, 3):
            raise ValueError(f"{text[:80]!r} is not NAMESPACE/NAME or NAMESPACE/NAME/KEY")
        patterns = (("namespace", _NAMESPACE), ("name", _NAME), ("key", _KEY))
        for part, (what, pattern) in zip(parts, patterns, strict=False):
            if pattern.fullmatch(part) is None:
                raise ValueError(f"{part[:80]!r} cannot be the {what} of a ConfigMap")
        return cls(*parts)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" + (f"/{self.key}" if self.key else "")

    def about(self, uid: str = "") -> ObjectRef:
        """The object, for Events on it."""
        return ObjectRef("v1", "ConfigMap", self.name, self.namespace, uid)

    def seen(self, document: Mapping[str, Any]) -> Seen:
        """``document`` as far as it matters. Raises nothing."""
        metadata = document["metadata"]
        about = self.about(str(metadata.get("uid", "")))
        version = str(metadata.get("resourceVersion", ""))
        try:
            return Seen(about, version, self.of(document), None)
        except ConfigError as error:
            return Seen(about, version, b"", error)

    def of(self, document: Mapping[str, Any]) -> bytes:
        """The text that the key of ``document`` holds. Raises ConfigError, naming the place."""
        texts = document.get("data") or {}
        binary = document.get("binaryData") or {}
        key = self.key
        if not key:
            if len(texts) != 1 or binary:
                names = ", ".join(sorted([*texts, *binary])) or "none"
                raise ConfigError.of(
                    "data", f"one key is expected and there are: {names}; name it in --config-map"
                )
            (key,) = texts
        if key in binary:
            raise ConfigError.of(f"binaryData[{key}]", "must be text, under data")
        if key not in texts:
            names = ", ".join(sorted(texts)) or "none"
            raise ConfigError.of(f"data[{key}]", f"is missing; there are: {names}")
        return str(texts[key]).encode()
