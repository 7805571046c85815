"""``loadstar adapter import-rules FILE``: prometheus-adapter's rules as a configuration of ours.

That adapter finds series by query and puts a query together for each request; here a rule is one
PromQL query whose result is kept. So a rule that names one series becomes a rule of a
``prometheus`` source, and what does not (series by pattern, templates that need Go) is listed.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from loadstar.config.document import read
from loadstar.config.errors import ConfigError
from metrics_adapter.adapter_config import parse_config
from metrics_adapter.catalog import KNOWN, resource_called

CANNOT_READ: Final = 2
DEFAULT_URL: Final = "http://prometheus.monitoring.svc:9090"

_SERIES: Final = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(.*)\})?\s*", re.DOTALL)
_BY_NAME: Final = re.compile(
    r'\s*\{\s*__name__\s*=\s*"([a-zA-Z_:][a-zA-Z0-9_:]*)"\s*,?(.*)\}\s*', re.DOTALL
)
_TEMPLATE: Final = re.compile(r"<<\s*(.*?)\s*>>")
_GROUP: Final = re.compile(r"\$(?:\{(\w+)\}|(\d+))")
_PLAIN: Final = frozenset({".Series", ".LabelMatchers", ".GroupBy"})
_SINGULARS: Final = {str(resource): resource.kind.lower() for resource in KNOWN}


class CannotImport(ValueError):
    """A rule that has no counterpart; the message says why."""


@dataclass(slots=True)
class Imported:
    """The rules that could be imported, and why others could not."""

    rules: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def document(self, url: str) -> str:
        """The configuration, as YAML."""
        source = {"type": "prometheus", "url": url, "rules": self.rules}
        return yaml.safe_dump({"sources": [source]}, sort_keys=False, width=100)


def import_rules(document: object) -> Imported:
    """What the rules of ``document`` become: a configuration, or a ConfigMap that holds one.

    Raises ConfigError if it is neither.
    """
    config = _config(document)
    imported = Imported()
    for section, external in (("rules", False), ("externalRules", True)):
        for index, rule in enumerate(config.get(section) or ()):
            try:
                imported.rules += _rules(rule, external=external)
            except CannotImport as error:
                imported.left_out.append(f"{section}[{index}]: {error}")
    if config.get("resourceRules"):
        imported.left_out.append(
            "resourceRules: CPU and memory are metrics-server's, at metrics.k8s.io"
        )
    return imported


def _config(document: object) -> Mapping[str, Any]:
    if isinstance(document, Mapping) and document.get("kind") == "ConfigMap":
        texts = list((document.get("data") or {}).values())
        if len(texts) != 1:
            raise ConfigError.of("data", "must have one key, whose text is the configuration")
        document = read(str(texts[0]))
    known = {"rules", "externalRules", "resourceRules"}
    if not isinstance(document, Mapping) or not known & set(document):
        raise ConfigError.of("", "has neither rules nor externalRules")
    return document


def _rules(rule: object, *, external: bool) -> list[dict[str, Any]]:
    if not isinstance(rule, Mapping):
        raise CannotImport("is not a mapping")
    series, matchers = _series(str(rule.get("seriesQuery", "")))
    _check_filters(rule.get("seriesFilters") or (), series)
    name = _renamed(rule.get("name") or {}, series)
    template = str(rule.get("metricsQuery", ""))
    resources = rule.get("resources") or {}
    labels = _labels(resources)
    namespace_label = labels.pop("namespaces", "")
    if external:
        query = _query(template, series, matchers, [namespace_label] if namespace_label else [])
        written: dict[str, Any] = {"metric": name, "query": query}
        if resources.get("namespaced") is False or not namespace_label:
            written["namespaced"] = False
        elif namespace_label != "namespace":
            written["namespaceLabel"] = namespace_label
        return [written]
    found = []
    for resource, label in labels.items() or [("namespaces", namespace_label)]:
        if not label:
            raise CannotImport("resources: no label says which object a series is about")
        by = [label] if resource == "namespaces" else [namespace_label, label]
        written = {
            "metric": name,
            "query": _query(template, series, matchers, [each for each in by if each]),
            "resource": resource,
        }
        if label != _SINGULARS[resource]:
            written["nameLabel"] = label
        if namespace_label and namespace_label != "namespace":
            written["namespaceLabel"] = namespace_label
        found.append(written)
    return found


def _series(query: str) -> tuple[str, str]:
    """The one series that ``query`` names, and its other matchers."""
    match = _BY_NAME.fullmatch(query) or _SERIES.fullmatch(query)
    if match is None:
        raise CannotImport(
            f"seriesQuery {query[:80]!r} finds series by pattern; name one, in a rule of its own"
        )
    return match[1], (match[2] or "").strip().strip(",")


def _check_filters(filters: Sequence[Mapping[str, str]], series: str) -> None:
    for each in filters:
        for word, wanted in (("is", True), ("isNot", False)):
            pattern = each.get(word)
            if pattern is None:
                continue
            try:
                passes = re.search(pattern, series) is not None
            except re.error:
                raise CannotImport(f"seriesFilters: {pattern[:80]!r} cannot be read") from None
            if passes is not wanted:
                raise CannotImport(f"seriesFilters: they leave {series} out")


def _renamed(naming: Mapping[str, str], series: str) -> str:
    pattern, to = naming.get("matches") or ".*", naming.get("as") or ""
    try:
        match = re.search(pattern, series)
    except re.error:
        raise CannotImport(f"name.matches: {pattern[:80]!r} cannot be read") from None
    if match is None:
        raise CannotImport(f"name.matches: {pattern[:80]!r} does not match {series}")
    if not to:
        if len(match.groups()) > 1:
            raise CannotImport("name.as: is needed where name.matches has several groups")
        to = "$1" if match.groups() else "$0"

    def group(reference: re.Match[str]) -> str:
        word = reference[1] or reference[2]
        try:
            return match[int(word) if word.isdigit() else word] or ""
        except (IndexError, KeyError):
            raise CannotImport(f"name.as: there is no group {word}") from None

    name = _GROUP.sub(group, to)
    if "/" in name or not name:
        raise CannotImport(f"name.as: {name[:80]!r} cannot be a metric's name")
    return name


def _labels(resources: Mapping[str, Any]) -> dict[str, str]:
    """Resource -> the label that names its objects."""
    found: dict[str, str] = {}
    for label, about in (resources.get("overrides") or {}).items():
        group = about.get("group") or ""
        resource = resource_called(f"{about.get('resource', '')}{'.' if group else ''}{group}")
        if resource not in _SINGULARS:
            raise CannotImport(f"resources.overrides: {resource[:80]} are not known here")
        found[resource] = str(label)
    template = resources.get("template")
    if template:
        for resource in ("namespaces", "pods"):
            singular = _SINGULARS[resource]
            label = re.sub(r"<<\s*\.Resource\s*>>", singular, str(template))
            label = re.sub(r"<<\s*\.Group\s*>>", "", label)
            if "<<" in label:
                raise CannotImport(f"resources.template: {template[:80]!r} needs Go's templates")
            found.setdefault(resource, label)
    return found


def _query(template: str, series: str, matchers: str, by: Sequence[str]) -> str:
    if not template:
        raise CannotImport("metricsQuery: is missing")
    words = set(_TEMPLATE.findall(template))
    if not words <= _PLAIN:
        word = min(words - _PLAIN)
        raise CannotImport(f"metricsQuery: <<{word[:80]}>> depends on each request")
    present = [f'{label}!=""' for label in by]
    conditions = ",".join([*([matchers] if matchers else []), *present])
    text = re.sub(r"<<\s*\.Series\s*>>", lambda _: series, template)
    text = re.sub(r"<<\s*\.LabelMatchers\s*>>", lambda _: conditions, text)
    return re.sub(r"<<\s*\.GroupBy\s*>>", lambda _: ",".join(by), text)


def main(argv: Sequence[str]) -> int:
    """Print the configuration that a file of rules becomes, and say what is left out."""
    parser = argparse.ArgumentParser(prog="loadstar adapter import-rules", description=__doc__)
    parser.add_argument("file", type=Path, help="prometheus-adapter's configuration or ConfigMap")
    parser.add_argument("--prometheus-url", default=DEFAULT_URL)
    arguments = parser.parse_args(list(argv))
    try:
        imported = import_rules(read(arguments.file.read_bytes()))
        text = imported.document(arguments.prometheus_url)
        parse_config(text)
    except OSError as error:
        sys.stderr.write(f"{arguments.file}: {error.strerror}\n")
        return CANNOT_READ
    except ConfigError as error:
        sys.stderr.write(f"{arguments.file}: {error}\n")
        return CANNOT_READ
    sys.stdout.write(text)
    for why in imported.left_out:
        sys.stderr.write(f"not imported: {why}\n")
    return 0
