"""Paths and parameters as kube-apiserver sends them, and what is wrong with others."""

from __future__ import annotations

import pytest

from loadstar.kube.selectors import EVERYTHING
from loadstar.kube.selectors import parse as selector
from metrics_adapter.api.parse import parse
from metrics_adapter.errors import BadRequest
from metrics_adapter.query import CustomQuery, ExternalQuery

CUSTOM = ("apis", "custom.metrics.k8s.io", "v1beta2")
EXTERNAL = ("apis", "external.metrics.k8s.io", "v1beta1")
POD = (*CUSTOM, "namespaces", "lab", "pods", "vllm-0", "queue_depth")
PODS = (*CUSTOM, "namespaces", "lab", "pods", "*", "queue_depth")


@pytest.mark.parametrize(
    ("segments", "parameters", "expected"),
    [
        pytest.param(
            POD, {}, CustomQuery("v1beta2", "pods", "lab", "vllm-0", "queue_depth"), id="one pod"
        ),
        pytest.param(
            PODS,
            {"labelSelector": "app=vllm,tier in (a,b)", "metricLabelSelector": "model=qwen"},
            CustomQuery(
                "v1beta2",
                "pods",
                "lab",
                "*",
                "queue_depth",
                selector("app=vllm,tier in (a,b)"),
                selector("model=qwen"),
            ),
            id="pods that are selected",
        ),
        pytest.param(
            (*CUSTOM, "namespaces", "lab", "metrics", "tokens"),
            {},
            CustomQuery("v1beta2", "namespaces", None, "lab", "tokens"),
            id="the namespace itself",
        ),
        pytest.param(
            (*CUSTOM, "nodes", "*", "gpu"),
            {},
            CustomQuery("v1beta2", "nodes", None, "*", "gpu"),
            id="objects without a namespace",
        ),
        pytest.param(
            (*CUSTOM, "namespaces", "lab", "deployments.apps", "vllm", "a|b:c"),
            {"fieldSelector": "metadata.name=vllm", "limit": "500", "pretty": "true"},
            CustomQuery("v1beta2", "deployments.apps", "lab", "vllm", "a|b:c"),
            id="options of lists, which mean nothing",
        ),
        pytest.param(
            (*EXTERNAL, "namespaces", "lab", "queue_depth"),
            {"labelSelector": "pool!=x"},
            ExternalQuery("lab", "queue_depth", selector("pool!=x")),
            id="external",
        ),
    ],
)
def test_good_questions(
    segments: tuple[str, ...],
    parameters: dict[str, str],
    expected: CustomQuery | ExternalQuery,
) -> None:
    assert parse(segments, parameters) == expected


def test_no_selector_is_everything() -> None:
    question = parse(POD, {"labelSelector": ""})

    assert isinstance(question, CustomQuery)
    assert question.object_selector is EVERYTHING


@pytest.mark.parametrize(
    ("segments", "parameters", "message"),
    [
        pytest.param((*CUSTOM, "namespaces", "lab", "m"), {}, "invalid request path", id="short"),
        pytest.param((*POD, "x"), {}, "invalid request path", id="long, as an escaped slash makes"),
        pytest.param((*CUSTOM, "watch", "nodes", "*", "m"), {}, "invalid request path", id="watch"),
        pytest.param(
            (*CUSTOM, "namespaces", "*", "metrics", "m"), {}, "several namespaces", id="namespaces"
        ),
        pytest.param(
            PODS, {"labelSelector": "a=b c"}, "unable to parse requirement", id="selector"
        ),
        pytest.param(
            PODS, {"metricLabelSelector": "a in b"}, "metricLabelSelector", id="of series"
        ),
        pytest.param(PODS, {"limit": "many"}, "not a whole number", id="limit"),
        pytest.param(
            POD,
            {"fieldSelector": "metadata.name=other"},
            "fieldSelector metadata.name doesn't match requested name",
            id="another name",
        ),
        pytest.param(PODS, {"fieldSelector": "spec.x=1"}, "only metadata.name", id="another field"),
        pytest.param((*EXTERNAL, "namespaces", "lab"), {}, "invalid request path", id="no metric"),
        pytest.param(
            ("apis", "apps", "v1", "x"), {}, "invalid request path", id="no group of ours"
        ),
    ],
)
def test_bad_questions(segments: tuple[str, ...], parameters: dict[str, str], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        parse(segments, parameters)
