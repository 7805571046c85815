"""The adapter as a part of a real cluster: registered, discovered, and asked by who may."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from loadstar.clock import SystemClock
from tests.controlplane.api import ApiError
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.pki import Authority, KeyPair
from tests.controlplane.processes import wait_until
from tests.integration.adapter_lab import (
    CUSTOM,
    EXTERNAL,
    Adapter,
    as_accepted,
    custom,
    external,
    installed,
    raw,
    sample,
    serves,
)

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(120)]

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
HPA = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
AS_HPA = (
    ("X-Remote-User", HPA),
    ("X-Remote-Group", "system:serviceaccounts"),
    ("X-Remote-Group", "system:serviceaccounts:kube-system"),
    ("X-Remote-Group", "system:authenticated"),
)
AS_ROOT = (("X-Remote-User", "root"), ("X-Remote-Group", "system:masters"))


@pytest.fixture(scope="module")
def behind(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Adapter]:
    with installed(control_plane, tmp_path_factory.mktemp("adapter")) as made:
        made.tell(
            [
                sample("Pod", "lab", "vllm-0", "test_load", 0.873, age=0),
                sample("Namespace", "lab", "lab", "queue_depth", 12),
                external("lab", "queue_depth", 21, model="qwen"),
            ]
        )
        wait_until(
            lambda: serves(control_plane, custom("lab", "metrics", "queue_depth")),
            within_s=5,
            what="the samples are there",
        )
        yield made


# -- registered and asked ---------------------------------------------------------------------


def test_every_api_is_available_within_five_seconds(behind: Adapter) -> None:
    assert behind.available_after < 5


def test_values_come_through_the_aggregator(control_plane: ControlPlane, behind: Adapter) -> None:
    control_plane.objects.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lab"}}
    )
    control_plane.objects.ready_pod("vllm-0", ip="127.0.0.1", namespace="lab", labels={"app": "x"})
    told = sample("Pod", "lab", "vllm-0", "test_load", 0.873, age=0)
    behind.tell(
        [
            told,
            sample("Namespace", "lab", "lab", "queue_depth", 12),
            external("lab", "queue_depth", 21, model="qwen"),
        ]
    )
    second = told["timestamp"][:19] + "Z"
    path = custom("lab", "pods", "*", "test_load") + "?labelSelector=app%3Dx"
    wait_until(
        lambda: (
            serves(control_plane, path)
            and raw(control_plane, path)["items"][0]["timestamp"] == second
        ),
        within_s=5,
        what="the sample is there",
    )
    described = {"kind": "Pod", "namespace": "lab", "name": "vllm-0", "apiVersion": "v1"}
    assert raw(control_plane, path) == {
        "kind": "MetricValueList",
        "apiVersion": f"{CUSTOM}/v1beta2",
        "metadata": {},
        "items": [
            {
                "describedObject": described,
                "metric": {"name": "test_load", "selector": None},
                "timestamp": second,
                "value": "873m",
            }
        ],
    }
    assert raw(control_plane, custom("lab", "pods", "vllm-0", "test_load", version="v1beta1")) == {
        "kind": "MetricValueList",
        "apiVersion": f"{CUSTOM}/v1beta1",
        "metadata": {},
        "items": [
            {
                "describedObject": described,
                "metricName": "test_load",
                "timestamp": second,
                "value": "873m",
                "selector": None,
            }
        ],
    }
    found = raw(control_plane, f"/apis/{EXTERNAL}/v1beta1/namespaces/lab/queue_depth")
    for item in found["items"]:
        item.pop("timestamp")
    assert found == {
        "kind": "ExternalMetricValueList",
        "apiVersion": f"{EXTERNAL}/v1beta1",
        "metadata": {},
        "items": [{"metricName": "queue_depth", "metricLabels": {"model": "qwen"}, "value": "21"}],
    }


def test_a_refusal_says_why_through_the_aggregator(
    control_plane: ControlPlane, behind: Adapter
) -> None:
    with pytest.raises(ApiError) as refused:
        raw(control_plane, f"/apis/{EXTERNAL}/v1beta1/namespaces/lab/queue_dpth")
    assert (refused.value.status, refused.value.reason) == (404, "NotFound")
    assert "queue_depth" in refused.value.message
    with pytest.raises(ApiError) as refused:
        raw(control_plane, custom("lab", "pods", "*", "test_load") + "?labelSelector=a+in+b")
    assert (refused.value.status, refused.value.reason) == (400, "BadRequest")


def test_discovery_shows_the_metrics(control_plane: ControlPlane, behind: Adapter) -> None:
    """Both ways: the list of each version, and the one document that kubectl reads."""
    listed = raw(control_plane, f"/apis/{EXTERNAL}/v1beta1")["resources"]
    assert {"queue_depth", "gateway_queue_depth"} <= {each["name"] for each in listed}

    def published() -> dict[str, Any]:
        """What the aggregator has made of our discovery; it asks once a minute."""
        items = as_accepted(control_plane, "/apis", V2)["items"]
        return {
            f"{group['metadata']['name']}/{each['version']}": each
            for group in items
            for each in group["versions"]
        }

    ours = (f"{CUSTOM}/v1beta1", f"{CUSTOM}/v1beta2", f"{EXTERNAL}/v1beta1")
    wait_until(
        lambda: all(published().get(name, {}).get("resources") for name in ours),
        within_s=10,
        what="the aggregator has our resources",
    )
    found = published()
    assert {found[name]["freshness"] for name in ours} == {"Current"}
    pods = {each["resource"]: each for each in found[ours[1]]["resources"]}["pods"]
    assert "kv_cache_utilization" in {each["subresource"] for each in pods["subresources"]}
    assert "queue_depth" in {each["resource"] for each in found[ours[2]]["resources"]}


def test_the_preferred_version_is_the_newer(control_plane: ControlPlane, behind: Adapter) -> None:
    assert raw(control_plane, f"/apis/{CUSTOM}")["preferredVersion"]["version"] == "v1beta2"


# -- who may ----------------------------------------------------------------------------------


def test_who_has_no_right_is_refused_on_both_ways(
    control_plane: ControlPlane, behind: Adapter
) -> None:
    path = custom("lab", "metrics", "queue_depth")
    with pytest.raises(ApiError) as refused:
        control_plane.objects_of("bob", ["devs"]).api.request("GET", path)
    assert refused.value.status == 403
    straight = behind.direct(path, pair=control_plane.client_ca.leaf("bob", groups=["devs"]))
    assert straight.status == 403
    assert straight.document == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'metrics.{CUSTOM} "queue_depth" is forbidden: User "bob" cannot get resource '
        f'"metrics" in API group "{CUSTOM}" in the namespace "lab"',
        "reason": "Forbidden",
        "details": {"name": "queue_depth", "group": CUSTOM, "kind": "metrics"},
        "code": 403,
    }


@pytest.fixture(scope="module")
def forger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("forger"), "forger")


def test_the_matrix_of_callers(
    control_plane: ControlPlane, behind: Adapter, forger: Authority
) -> None:
    """Each way to ask past the aggregator, forged and honest: what comes of it."""
    plane = control_plane
    proxies, users = plane.front_proxy_ca, plane.client_ca
    over = datetime.timedelta(hours=-1)
    proxy = plane.front_proxy
    other = proxies.leaf("another-proxy")
    as_proxy = users.leaf("front-proxy-client", file="front-proxy-by-clients")
    expired = proxies.leaf("front-proxy-client", file="expired", expires_in=over)
    forged = forger.leaf("front-proxy-client")
    admin = users.leaf("alice", groups=["system:masters"])
    # Of a user whom RBAC gives nothing, and of the HPA controller, who may read every metric.
    nobody = plane.service_account_token("lab", "nobody")
    hpa = plane.service_account_token("kube-system", "horizontal-pod-autoscaler")
    path = custom("lab", "metrics", "queue_depth")
    refused = "handshake refused"

    def ask(
        pair: KeyPair | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        at: str = path,
        method: str = "GET",
    ) -> int | str:
        try:
            return behind.direct(at, pair=pair, headers=headers, method=method).status
        except OSError as error:
            # In TLS 1.3 a client hears of its certificate's refusal when it reads: an alert, or
            # the end, whichever the kernel lets it see first.
            said = str(error).upper()
            return refused if re.search("ALERT|CLOSED|RESET", said) else repr(error)

    def bearer(token: str) -> tuple[tuple[str, str], ...]:
        return (("Authorization", f"Bearer {token}"),)

    assert {
        "nothing": ask(),
        "nothing, for a probe": ask(at="/readyz"),
        "nothing, for metrics": ask(at="/metrics"),
        "nothing, for discovery": ask(at="/apis"),
        "headers alone": ask(headers=AS_ROOT),
        "headers alone, as the HPA": ask(headers=AS_HPA),
        "a certificate of nobody": ask(forged, AS_HPA),
        "the proxy's name, by the clients' CA": ask(as_proxy, AS_ROOT),
        "another name, by the proxy's CA": ask(other, AS_ROOT),
        "the proxy's, expired": ask(expired, AS_ROOT),
        "the proxy, for the HPA": ask(proxy, AS_HPA),
        "the proxy, for nobody": ask(proxy),
        "the proxy, for a user without rights": ask(proxy, (("X-Remote-User", "bob"),)),
        "the proxy, for the aggregator": ask(
            proxy, (("X-Remote-User", "system:kube-aggregator"),), at=f"/apis/{CUSTOM}/v1beta2"
        ),
        "the proxy, for a master": ask(proxy, AS_ROOT),
        "a client of its own rights": ask(admin),
        "a client that speaks for others": ask(admin, AS_HPA),
        "a client without rights": ask(users.leaf("bob", groups=["devs"]), AS_ROOT),
        "a bad token": ask(headers=bearer("nonsense")),
        "a bad token, and headers": ask(headers=(*bearer("nonsense"), *AS_ROOT)),
        "a good token without rights": ask(headers=bearer(nobody)),
        "the HPA's own token": ask(headers=bearer(hpa)),
        "impersonation, by who may": ask(admin, (("Impersonate-User", "bob"),)),
        "writing": ask(admin, method="POST"),
        "writing, by who may not": ask(headers=bearer(hpa), method="DELETE"),
        "an unknown path": ask(admin, at="/apis/apps/v1"),
        "a path that climbs": ask(admin, at="/apis/../metrics"),
        "the metrics, as a master": ask(admin, at="/metrics"),
        "the metrics, as the HPA": ask(headers=bearer(hpa), at="/metrics"),
    } == {
        "nothing": 403,
        "nothing, for a probe": 200,
        "nothing, for metrics": 403,
        "nothing, for discovery": 403,
        "headers alone": 403,
        "headers alone, as the HPA": 403,
        "a certificate of nobody": refused,
        "the proxy's name, by the clients' CA": 403,
        "another name, by the proxy's CA": 401,
        "the proxy's, expired": refused,
        "the proxy, for the HPA": 200,
        "the proxy, for nobody": 403,
        "the proxy, for a user without rights": 403,
        "the proxy, for the aggregator": 200,
        "the proxy, for a master": 200,
        "a client of its own rights": 200,
        "a client that speaks for others": 200,
        "a client without rights": 403,
        "a bad token": 401,
        "a bad token, and headers": 401,
        "a good token without rights": 403,
        "the HPA's own token": 200,
        "impersonation, by who may": 403,
        "writing": 405,
        "writing, by who may not": 403,
        "an unknown path": 404,
        "a path that climbs": 400,
        "the metrics, as a master": 200,
        "the metrics, as the HPA": 403,
    }


def test_what_was_asked_is_in_the_audit_log_and_no_secret_is(
    control_plane: ControlPlane, behind: Adapter
) -> None:
    token = control_plane.service_account_token("lab", "nobody")
    given = (("Authorization", f"Bearer {token}"), ("Audit-Id", "find-me"))
    answer = behind.direct(custom("lab", "metrics", "queue_depth"), headers=given)
    assert answer.headers["Audit-Id"] == "find-me"

    def lines() -> list[str]:
        text = (behind.folder / "audit.log").read_text()
        return [line for line in text.splitlines() if "find-me" in line]

    wait_until(lambda: len(lines()) == 1, within_s=2, what="the line is written")
    line = json.loads(lines()[0])
    assert line["user"]["username"] == "system:serviceaccount:lab:nobody"
    assert line["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert line["objectRef"]["resource"] == "metrics"
    everything = (behind.folder / "audit.log").read_text() + behind.process.log.read_text()
    assert token not in everything


def test_reviews_are_few(control_plane: ControlPlane, behind: Adapter) -> None:
    """A hundred questions of one HPA are one question to the API server."""
    before = sum(behind.metric("apiserver_delegated_authz_request_total").values())
    name = f"once-{SystemClock().wall():.0f}"
    path = custom("lab", "metrics", name)
    for _ in range(100):
        assert behind.direct(path, pair=control_plane.front_proxy, headers=AS_HPA).status == 404
    after = sum(behind.metric("apiserver_delegated_authz_request_total").values())
    assert after - before == 1


def test_the_freshness_of_what_is_served_is_measured(behind: Adapter) -> None:
    counts = behind.metric("metrics_apiserver_metric_freshness_seconds_count")
    assert counts[f'group="{CUSTOM}"'] > 0
