"""Who asks, by certificate or token, and what they may do."""

from __future__ import annotations

import pytest

from tests.controlplane.api import Api, ApiError, Object
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.processes import wait_until

pytestmark = pytest.mark.controlplane


def config_map(namespace: str) -> Object:
    metadata = {"name": "policy", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def test_a_user_has_the_rights_that_were_given_and_no_others(
    control_plane: ControlPlane, kube_namespace: str
) -> None:
    control_plane.objects.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "readers", "namespace": kube_namespace},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "view",
            },
            "subjects": [
                {
                    "kind": "Group",
                    "name": "readers",
                    "apiGroup": "rbac.authorization.k8s.io",
                }
            ],
        }
    )
    reader = control_plane.objects_of("alice", ["readers"])
    wait_until(
        lambda: reader.api.answers(f"/api/v1/namespaces/{kube_namespace}/configmaps"),
        within_s=15,
        what="the binding is known",
    )
    with pytest.raises(ApiError) as refused:
        reader.apply(config_map(kube_namespace))
    assert refused.value.status == 403
    with pytest.raises(ApiError) as refused:
        control_plane.objects_of("alice").list("v1", "ConfigMap", kube_namespace)
    assert refused.value.status == 403


def test_a_service_account_is_who_its_token_says(
    control_plane: ControlPlane, kube_namespace: str
) -> None:
    token = control_plane.service_account_token(kube_namespace, "gateway")
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    with Api(control_plane.url, control_plane.client_ca.cert, token=token) as api:
        answer = api.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
    user = answer["status"]["userInfo"]["username"]
    assert user == f"system:serviceaccount:{kube_namespace}:gateway"
    path = control_plane.service_account_kubeconfig(kube_namespace, "gateway")
    assert path.stat().st_mode & 0o077 == 0


def test_a_certificate_of_another_authority_is_nobody(
    control_plane: ControlPlane, kube_namespace: str
) -> None:
    rogue = control_plane.front_proxy_ca.leaf("admin", groups=["system:masters"], file="rogue")
    with (
        Api(control_plane.url, control_plane.client_ca.cert, pair=rogue) as api,
        pytest.raises(ApiError) as refused,
    ):
        api.request("GET", f"/api/v1/namespaces/{kube_namespace}/pods")
    assert refused.value.status == 401
