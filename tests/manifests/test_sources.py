"""What is written down twice says the same, and the image is made as it says. No tool is needed."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import fields
from typing import Any

import pytest
import yaml

from gateway.config.defaults import DEFAULT
from gateway.config.picker import EndpointPickerConfig, parse
from loadstar.check import available, check_file
from loadstar.config.load import key_of
from tests.manifests.rendered import CHART, MANIFESTS, ROOT

LOCKED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)", re.MULTILINE)
KEYS = sorted(key_of(field) for field in fields(EndpointPickerConfig))


def values() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return found


def test_what_is_shipped_to_be_tuned_is_the_default() -> None:
    assert parse((MANIFESTS / "base/gateway/picker.yaml").read_bytes()) == DEFAULT
    assert parse(yaml.safe_dump(values()["config"])) == DEFAULT


def test_the_chart_has_envoys_bootstrap_as_it_is() -> None:
    """A chart reads no file outside its own folder."""
    copy, original = CHART / "files/envoy.yaml", MANIFESTS / "envoy/standalone.yaml"
    assert copy.read_text() == original.read_text()


def test_envoy_takes_no_client_at_its_word_about_where_a_request_goes() -> None:
    """Left in, they would choose the upstream whenever no picker answers: a way inside."""
    (listener,) = yaml.safe_load((MANIFESTS / "envoy/standalone.yaml").read_text())[
        "static_resources"
    ]["listeners"]
    (chain,) = listener["filter_chains"]
    (manager,) = (f["typed_config"] for f in chain["filters"])
    # Early: before routes are matched and before any filter, ext_proc included, has a look.
    (early,) = (e["typed_config"] for e in manager["early_header_mutation_extensions"])
    assert {mutation["remove"] for mutation in early["mutations"]} >= {
        "x-gateway-destination-endpoint",
        "x-gateway-destination-endpoint-served",
        "x-gateway-destination-endpoint-subset",
        "x-prefiller-host-port",
        "x-encoder-hosts-ports",
        "x-data-parallel-host-port",
    }


def test_every_schema_knows_every_key_of_a_configuration() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert sorted(schema["properties"]["config"]["properties"]) == KEYS
    policy = yaml.safe_load((MANIFESTS / "base/admission/policy.yaml").read_text())
    lists = re.findall(r"'\^\(([A-Za-z|]+)\) \*:'", json.dumps(policy))
    assert lists
    assert {tuple(sorted(words.split("|"))) for words in lists} == {tuple(KEYS)}


def test_the_chart_knows_the_policys_schema_as_it_is_shipped() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    shipped = (MANIFESTS / "config/autoscaler/policy.schema.json").read_text()
    # Go's regular expressions have no such escapes: the letters themselves are written there.
    policy = json.loads(shipped.replace(r"\\u00b5", "\u00b5").replace(r"\\u03bc", "\u03bc"))
    del policy["$schema"], policy["title"]
    assert schema["properties"]["autoscaler"]["properties"]["policy"] == policy


def test_every_value_of_the_chart_is_in_its_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def unknown(given: Any, known: Any, path: str) -> list[str]:
        if not isinstance(given, dict) or "properties" not in known:
            return []
        assert known["additionalProperties"] is False, path
        missing = [f"{path}.{key}" for key in given if key not in known["properties"]]
        inner = [(key, v) for key, v in given.items() if key in known["properties"]]
        return missing + [
            each
            for key, v in inner
            for each in unknown(v, known["properties"][key], f"{path}.{key}")
        ]

    assert unknown(values(), schema, "") == []


@pytest.mark.parametrize("folder", ["config", "base/gateway", "overlays", "chart"])
def test_loadstar_check_has_nothing_against_what_is_shipped(folder: str) -> None:
    files = sorted(
        file
        for file in (MANIFESTS / folder).rglob("*.yaml")
        if "templates" not in file.relative_to(MANIFESTS).parts
    )
    checkers = available()
    assert [
        line for file in files for line, bad in check_file(file, checkers, named=False) if bad
    ] == []


def test_the_image_is_made_of_what_the_lock_pins() -> None:
    whole = dict(LOCKED.findall((ROOT / "requirements.lock").read_text()))
    image = dict(LOCKED.findall((MANIFESTS / "image/requirements.lock").read_text()))
    build = dict(LOCKED.findall((MANIFESTS / "image/build.lock").read_text()))
    assert {**image, **build}.items() <= whole.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    names = {re.split(r"[^A-Za-z0-9_.-]", each)[0].lower() for each in needed}
    assert names <= {name.lower() for name in (*image, *build)}


def test_each_pin_of_the_image_has_a_hash() -> None:
    for file in ("requirements.lock", "build.lock"):
        for block in re.split(r"\n(?=\S)", (MANIFESTS / "image" / file).read_text().strip()):
            assert re.match(r"[A-Za-z0-9._-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", block, re.DOTALL)


class Dockerfile:
    """The instructions of a Dockerfile, continued lines joined, by stage."""

    def __init__(self, text: str) -> None:
        joined = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", text))
        self.lines = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
        starts = [i for i, (word, *_) in enumerate(self.lines) if word == "FROM"]
        self.stages = [
            self.lines[start:end]
            for start, end in zip(starts, [*starts[1:], len(self.lines)], strict=True)
        ]

    def of(self, word: str, stage: int) -> list[str]:
        """The arguments of every such instruction of a stage."""
        return [rest[0] for name, *rest in self.stages[stage] if name == word]


@pytest.fixture
def dockerfile() -> Dockerfile:
    return Dockerfile((ROOT / "Dockerfile").read_text())


def test_the_image_has_a_stage_that_builds_and_one_that_runs(dockerfile: Dockerfile) -> None:
    assert [stage[0][1] for stage in dockerfile.stages] == [
        "${PYTHON_IMAGE} AS build",
        "${PYTHON_IMAGE} AS run",
    ]
    (image,) = (rest for word, rest in dockerfile.lines if word == "ARG" and "PYTHON_IMAGE" in rest)
    assert re.fullmatch(r"PYTHON_IMAGE=docker\.io/library/python:3\.\d+-slim-\w+", image)
    assert dockerfile.of("COPY", 1) == ["--from=build /opt/loadstar /opt/loadstar"]
    assert dockerfile.of("RUN", 1) == []


def test_the_image_runs_as_nobody_and_without_a_shell(dockerfile: Dockerfile) -> None:
    assert dockerfile.of("USER", 1) == ["65532:65532"]
    assert dockerfile.of("ENTRYPOINT", 1) == ['["loadstar"]']
    pod = yaml.safe_load((MANIFESTS / "base/gateway/deployment.yaml").read_text())
    assert pod["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == 65532


def test_the_image_takes_only_pinned_wheels(dockerfile: Dockerfile) -> None:
    installs = [
        part
        for run in dockerfile.of("RUN", 0)
        for part in run.split("&&")
        if " pip " in part and " install " in part
    ]
    assert len(installs) == 3
    for install in installs:
        pinned = "--require-hashes --only-binary :all: --requirement" in install
        ours = install.rstrip().endswith("install --no-deps --no-build-isolation .")
        assert pinned or ours, install


def test_the_same_commit_makes_the_same_files(dockerfile: Dockerfile) -> None:
    runs = " ".join(dockerfile.of("RUN", 0))
    assert "--invalidation-mode unchecked-hash" in runs
    assert "touch --no-dereference --date=@${SOURCE_DATE_EPOCH}" in runs
    assert not re.search(r"apt-get|curl|wget|git clone|:latest", runs)


def test_the_builder_gets_all_that_is_copied_and_little_else(dockerfile: Dockerfile) -> None:
    sent = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = [word for copy in dockerfile.of("COPY", 0) for word in copy.split()[:-1]]
    assert copied
    for path in copied:
        assert (ROOT / path).exists(), path
        assert any(path == each or path.startswith(f"{each}/") for each in sent), path
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {p.rstrip("*") for p in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages <= set(copied)
