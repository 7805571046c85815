"""``loadstar check`` finds what it knows however it is wrapped, and says where it is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from loadstar.check import available, main

ENDPOINTS = 'endpoints: [{name: a, address: 10.0.0.1, port: "8000"}]\n'
PICKER = """apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: queue-scorer}
- {type: file-discovery, parameters: {path: PATH}}
dataLayer: {discovery: {pluginRef: file-discovery}}
"""
GOOD = "kind: EndpointPickerConfig\nplugins: [{type: queue-scorer}]\n"
BAD = "kind: EndpointPickerConfig\nplugins: [{type: queue-scorrer}]\n"
KNOWN = ", ".join(kind for checker in available() for kind in checker.KINDS)
WRONG = 'unknown plugin type "queue-scorrer", did you mean queue-scorer?'


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "endpoints.yaml").write_text(ENDPOINTS)
    (tmp_path / "picker.yaml").write_text(PICKER.replace("PATH", str(tmp_path / "endpoints.yaml")))
    return tmp_path


def check(capsys: pytest.CaptureFixture[str], *names: Path) -> tuple[int, list[str]]:
    code = main([*map(str, names)])
    return code, capsys.readouterr().out.splitlines()


def config_map(name: str = "gateway", **data: str) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "prod"},
            "data": {key.replace("_", "."): text for key, text in data.items()},
        }
    )


def test_files_that_are_right(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picker, endpoints = files / "picker.yaml", files / "endpoints.yaml"
    assert check(capsys, picker, endpoints) == (
        0,
        [
            f"{picker}: {endpoints}: 1 endpoints",
            f"{picker}: ok",
            f"{endpoints}: 1 endpoints",
            f"{endpoints}: ok",
        ],
    )


def test_a_file_that_is_wrong_says_where(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picker, endpoints = files / "picker.yaml", files / "endpoints.yaml"
    endpoints.write_text(ENDPOINTS.replace("10.0.0.1", "host"))
    code, lines = check(capsys, picker, endpoints)
    assert code == 1
    assert [line.partition(" must be")[0] for line in lines] == [
        f"{picker}: {endpoints}: endpoints[0].address:",
        f"{endpoints}: endpoints[0].address:",
    ]


def test_endpoints_on_another_machine_are_no_error(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "endpoints.yaml").unlink()
    code, lines = check(capsys, files / "picker.yaml")
    assert code == 0
    assert lines[0].endswith("endpoints.yaml: not checked: No such file or directory")


def test_a_file_that_is_not_there_is_an_error(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    none = files / "none.yaml"
    assert check(capsys, none) == (1, [f"{none}: No such file or directory"])


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        pytest.param(GOOD, 0, ["ok"], id="bare"),
        pytest.param("", 1, ["the document is empty"], id="empty"),
        pytest.param("[1]", 1, ["must be a mapping, not list"], id="a list"),
        pytest.param(
            "a: 1",
            1,
            [f"it says no kind; known here are {KNOWN}"],
            id="a mapping of no kind",
        ),
        pytest.param(
            "kind: EndpointPickerConfg",
            1,
            [
                'kind: unknown kind "EndpointPickerConfg", did you mean EndpointPickerConfig?',
            ],
            id="a kind that was mistyped",
        ),
        pytest.param(
            "{apiVersion: apps/v1, kind: Deployment}",
            0,
            ["not checked: nothing in it is known here"],
            id="somebody else's",
        ),
        pytest.param(
            "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy}",
            0,
            ["not checked: nothing in it is known here"],
            id="somebody else's, a little like one of ours",
        ),
        pytest.param(
            "a: b: c",
            1,
            ["not YAML: line 1, column 5: mapping values are not allowed in this context"],
            id="no YAML",
        ),
        pytest.param(
            config_map(picker_yaml=BAD),
            1,
            [f"data[picker.yaml].plugins[0].type: {WRONG}"],
            id="inside a ConfigMap",
        ),
        pytest.param(
            config_map(picker_yaml=GOOD, start_sh="a: [", envoy_yaml="node: {id: a}"),
            0,
            ["ok"],
            id="other keys of a ConfigMap are others'",
        ),
        pytest.param(
            config_map(picker_yaml="plugins: ["),
            1,
            ["data[picker.yaml]: not YAML: line 2, column 1: did not find expected node content"],
            id="a key that cannot be read",
        ),
        pytest.param(
            config_map(picker_yaml=f"{GOOD}---\n{GOOD}"),
            1,
            [
                "data[picker.yaml](document 1): one key holds one document; this is one of several",
                "data[picker.yaml](document 2): one key holds one document; this is one of several",
            ],
            id="a key of several documents",
        ),
        pytest.param(
            "{apiVersion: v1, kind: ConfigMap, data: {picker.yaml: {plugins: []}}}",
            1,
            ["data[picker.yaml]: must be text; is a | missing after the key?"],
            id="a key that is no text",
        ),
        pytest.param(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "List",
                    "items": [yaml.safe_load(config_map(a_yaml=GOOD, b_json=BAD))],
                }
            ),
            1,
            [f"items[0].data[b.json].plugins[0].type: {WRONG}"],
            id="a List of ConfigMaps",
        ),
        pytest.param(
            f"{config_map(picker_yaml=GOOD)}---\n{config_map('other', picker_yaml=BAD)}---\n",
            1,
            [
                "document 1 (ConfigMap prod/gateway): ok",
                f"document 2 (ConfigMap prod/other): data[picker.yaml].plugins[0].type: {WRONG}",
            ],
            id="several documents",
        ),
    ],
)
def test_what_is_said_of(
    text: str, code: int, said: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "given.yaml"
    path.write_text(text)
    told, lines = check(capsys, path)
    assert (told, [line.removeprefix(f"{path}: ") for line in lines]) == (code, said)


def test_a_folder_is_looked_through_but_for_what_is_not_rendered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in {
        "a/bad.yaml": BAD,
        "a/notes.txt": BAD,
        "b/deployment.yaml": "{apiVersion: apps/v1, kind: Deployment}",
        "b/good.json": json.dumps(yaml.safe_load(GOOD)),
        "chart/Chart.yaml": "{name: x}",
        "chart/templates/a.yaml": "{{ .Values }}",
        "..data/bad.yaml": BAD,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    assert check(capsys, tmp_path) == (
        1,
        [
            f"{tmp_path}/a/bad.yaml: plugins[0].type: {WRONG}",
            f"{tmp_path}/b/good.json: ok",
        ],
    )


def test_a_folder_with_nothing_to_check_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(capsys, tmp_path) == (1, [f"{tmp_path}: no file that ends in .yaml, .yml, .json"])


def test_a_checker_that_is_not_there_is_left_out_but_one_that_is_broken_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_checker.py").write_text("import a_library_that_is_not_here\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert available(["no_such_service.check", "no_such_checker"]) == []
    with pytest.raises(ModuleNotFoundError, match="a_library_that_is_not_here"):
        available(["broken_checker"])
