"""Whatever a document holds, a view is made of it or a ValueError says why not.

A discovery that met anything else would end, and the gateway with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.datalayer.kubernetes.assemble import ANNOTATIONS, assemble
from gateway.datalayer.kubernetes.policies import objective, rewrite
from loadstar.kube.objects import Pod, inference_pool, pod, scale

KEYS = st.sampled_from(
    [
        *("metadata", "spec", "status", "name", "namespace", "uid", "labels", "annotations"),
        *("ownerReferences", "controller", "kind", "conditions", "type", "podIP", "nodeName"),
        *("selector", "matchLabels", "targetPorts", "number", "targetPortNumber", "poolRef"),
        *("priority", "rules", "matches", "model", "value", "targets", "weight", "modelRewrite"),
        *("deletionTimestamp", "creationTimestamp", "replicas", "group"),
    ]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False),
    st.sampled_from(["", "a", "10.0.0.1", "::1", "Ready", "True", "Exact", "8000,x"]),
    st.text(max_size=4),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=12,
)
PARTS = st.dictionaries(KEYS, VALUES, max_size=6)
DOCUMENTS = st.one_of(
    st.dictionaries(KEYS, VALUES, max_size=5),
    st.fixed_dictionaries(
        {
            "metadata": st.builds(lambda more: {**more, "name": "a"}, PARTS),
            "spec": st.builds(lambda more: {**more, "poolRef": {"name": "p"}}, PARTS),
            "status": PARTS,
        }
    ),
)


def seen(document: dict[str, Any]) -> Pod:
    return pod(document, annotations=ANNOTATIONS)


@pytest.mark.parametrize("view", [seen, inference_pool, objective, rewrite, scale])
@given(document=DOCUMENTS)
def test_a_view_or_a_value_error(
    view: Callable[[dict[str, Any]], object], document: dict[str, Any]
) -> None:
    try:
        made = view(document)
    except ValueError:
        return
    if isinstance(made, Pod):
        assemble([made], (8000, 8001))
