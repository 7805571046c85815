"""What an HPA sees while something is broken: it holds, hears why, and goes on once it is not."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadstar.clock import SystemClock
from tests.controlplane.api import ApiError, Object
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.processes import wait_until
from tests.integration.adapter_lab import (
    EXTERNAL,
    Adapter,
    adapter,
    available,
    custom,
    external,
    install,
    raw,
    register,
    sample,
    serves,
    unregister,
    wait_available,
)

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(180)]

LOAD = "test_load"
WITHIN_SECONDS = 30.0
BACK_SECONDS = 35.0


@pytest.fixture(scope="module", autouse=True)
def _installed(control_plane: ControlPlane) -> Iterator[None]:
    install(control_plane)
    yield
    unregister(control_plane)


@pytest.fixture
def behind(control_plane: ControlPlane, tmp_path: Path) -> Iterator[Adapter]:
    with adapter(control_plane, tmp_path / "adapter", config={"staleness": "5s"}) as made:
        register(control_plane, made.port)
        wait_available(control_plane, within_s=10)
        yield made
    unregister(control_plane)


def scaled(plane: ControlPlane, ns: str, name: str, replicas: int, metric: Object) -> None:
    """A Deployment of running pods and an HPA on ``metric``."""
    labels = {"app": name}
    containers = [{"name": "server", "image": "none.invalid/server"}]
    plane.objects.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": ns},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
            },
        }
    )
    wait_until(lambda: len(pods(plane, ns, name)) == replicas, within_s=20, what="its pods")
    for pod in pods(plane, ns, name):
        plane.objects.patch_pod_status({"apiVersion": "v1", "kind": "Pod", **pod}, ip="127.0.0.1")
    plane.objects.apply(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": name, "namespace": ns},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "minReplicas": 1,
                "maxReplicas": 50,
                "metrics": [metric],
            },
        }
    )


def pods(plane: ControlPlane, ns: str, name: str) -> list[Object]:
    return plane.objects.list("v1", "Pod", ns, f"app={name}")


def size(plane: ControlPlane, ns: str, name: str) -> int:
    found = plane.objects.get("apps/v1", "Deployment", name, ns)
    assert found is not None
    replicas: int = found["spec"]["replicas"]
    return replicas


def active(plane: ControlPlane, ns: str, name: str) -> tuple[str, str, str]:
    """Status, reason and message of the HPA's ScalingActive."""
    found = plane.objects.get("autoscaling/v2", "HorizontalPodAutoscaler", name, ns) or {}
    for each in found.get("status", {}).get("conditions") or ():
        if each["type"] == "ScalingActive":
            return each["status"], each["reason"], each["message"]
    return "", "", ""


def becomes(plane: ControlPlane, ns: str, name: str, replicas: int) -> None:
    wait_until(
        lambda: size(plane, ns, name) == replicas,
        within_s=WITHIN_SECONDS,
        what=f"{name} has {replicas} replicas",
    )


def outside(name: str, target: str = "1") -> Object:
    target_of = {"type": "AverageValue", "averageValue": target}
    return {"type": "External", "external": {"metric": {"name": name}, "target": target_of}}


ON_LOAD: Object = {
    "type": "Pods",
    "pods": {
        "metric": {"name": LOAD},
        "target": {"type": "AverageValue", "averageValue": "500m"},
    },
}


def test_killed_and_back(control_plane: ControlPlane, behind: Adapter, kube_namespace: str) -> None:
    plane, ns = control_plane, kube_namespace
    scaled(plane, ns, "k", 3, outside("k"))
    behind.tell([external(ns, "k", 5)])
    becomes(plane, ns, "k", 5)
    behind.process.stop(grace_s=0)
    wait_until(
        lambda: active(plane, ns, "k")[0] == "False", within_s=15, what="the HPA hears of it"
    )
    wait_until(  # it looks every half minute
        lambda: "False" in available(plane).values(), within_s=45, what="the API server notices"
    )
    behind.tell([external(ns, "k", 8)])
    assert size(plane, ns, "k") == 5
    clock = SystemClock()
    began = clock.now()
    behind.start()
    wait_available(plane, within_s=BACK_SECONDS)
    becomes(plane, ns, "k", 8)
    assert clock.now() - began < BACK_SECONDS


def test_stale_samples_hold_and_say_why(
    control_plane: ControlPlane, behind: Adapter, kube_namespace: str
) -> None:
    """The load "falls" to nothing because nobody tells it; that must not cost a replica."""
    plane, ns = control_plane, kube_namespace
    scaled(plane, ns, "s", 4, ON_LOAD)
    names = [pod["metadata"]["name"] for pod in pods(plane, ns, "s")]
    behind.tell([sample("Pod", ns, name, LOAD, 0.5, age=0) for name in names])
    wait_until(
        lambda: active(plane, ns, "s")[0] == "True", within_s=WITHIN_SECONDS, what="it is seen"
    )
    wait_until(  # the samples end; staleness is 5 s here
        lambda: active(plane, ns, "s")[0] == "False", within_s=WITHIN_SECONDS, what="it is stale"
    )
    status, reason, message = active(plane, ns, "s")
    assert (status, reason) == ("False", "FailedGetPodsMetric")
    assert "fresh" in message, message
    assert size(plane, ns, "s") == 4
    # And those pods of which nothing fresh is known count as if they met the target.
    behind.tell([sample("Pod", ns, names[0], LOAD, 0.1)])
    becomes(plane, ns, "s", 4)
    behind.tell([sample("Pod", ns, name, LOAD, 0.1) for name in names])
    becomes(plane, ns, "s", 1)


def test_a_broken_file_keeps_what_was_good(
    control_plane: ControlPlane, behind: Adapter, kube_namespace: str
) -> None:
    plane, ns = control_plane, kube_namespace
    path = f"/apis/{EXTERNAL}/v1beta1/namespaces/{ns}/b"
    behind.tell([external(ns, "b", 7)])
    wait_until(lambda: serves(plane, path), within_s=3, what="the sample is there")
    behind.samples.write_text("{ this is no")
    began = SystemClock().now()
    wait_until(lambda: not serves(plane, path), within_s=12, what="it grows old")
    assert SystemClock().now() - began > 3  # not at once
    with pytest.raises(ApiError) as refused:
        raw(plane, path)
    assert (refused.value.status, refused.value.reason) == (404, "NotFound")
    behind.tell([external(ns, "b", 9)])
    wait_until(lambda: serves(plane, path), within_s=3, what="it is mended")


def test_what_is_not_a_number_is_left_out(
    control_plane: ControlPlane, behind: Adapter, kube_namespace: str
) -> None:
    """One such value would make the HPA throw the whole list away."""
    plane, ns = control_plane, kube_namespace
    for name in ("n-0", "n-1"):
        plane.objects.ready_pod(name, ip="127.0.0.1", namespace=ns, labels={"app": "n"})
    behind.tell(
        [
            {**sample("Pod", ns, "n-0", LOAD, 0.0), "value": "NaN"},
            sample("Pod", ns, "n-1", LOAD, 0.25),
        ]
    )
    path = custom(ns, "pods", "*", LOAD)
    wait_until(lambda: serves(plane, path), within_s=5, what="the sample is there")
    items = raw(plane, path)["items"]
    assert [(item["describedObject"]["name"], item["value"]) for item in items] == [("n-1", "250m")]


def test_a_pod_does_not_inherit_from_one_of_its_name(
    control_plane: ControlPlane, behind: Adapter, kube_namespace: str
) -> None:
    plane, ns = control_plane, kube_namespace
    first = plane.objects.ready_pod("p-0", ip="127.0.0.1", namespace=ns, labels={"app": "p"})
    row = {**sample("Pod", ns, "p-0", LOAD, 0.5)}
    row["object"]["uid"] = first["metadata"]["uid"]
    behind.tell([row])
    path = custom(ns, "pods", "p-0", LOAD)
    wait_until(lambda: serves(plane, path), within_s=5, what="the sample is there")
    plane.objects.delete(first, wait=True)
    wait_until(lambda: not serves(plane, path), within_s=5, what="a deleted pod is gone")
    second = plane.objects.ready_pod("p-0", ip="127.0.0.1", namespace=ns, labels={"app": "p"})
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    wait_until(lambda: known(behind, ns, "p-0"), within_s=5, what="the new one is known")
    assert not serves(plane, path)


def known(behind: Adapter, ns: str, name: str) -> bool:
    """Whether the adapter says of a pod that it is there, though nothing is known of it."""
    try:
        raw(behind.plane, custom(ns, "pods", name, LOAD))
    except ApiError as error:
        return "no such pod" not in error.message
    return True


# -- model servers that misbehave -------------------------------------------------------------


class ModelServer:
    """A metrics page on loopback whose text is what the test says; it can hang."""

    def __init__(self) -> None:
        self.page = ""
        self.hangs = threading.Event()
        self.released = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if outer.hangs.is_set():
                    outer.released.wait(60)
                body = outer.page.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None: ...

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    made = ModelServer()
    yield made
    made.close()


@pytest.fixture
def scraping(
    control_plane: ControlPlane, tmp_path: Path, model_server: ModelServer, kube_namespace: str
) -> Iterator[Adapter]:
    source = {
        "type": "pods",
        "selector": "app=m",
        "namespaces": [kube_namespace],
        "port": model_server.port,
        "interval": "1s",
        "timeout": "1s",
    }
    config = {"sources": [source], "staleness": "6s"}
    with adapter(control_plane, tmp_path / "scraping", config=config) as made:
        register(control_plane, made.port)
        wait_available(control_plane, within_s=10)
        yield made
    unregister(control_plane)


def test_a_source_that_hangs_delays_no_answer_and_is_not_zero(
    control_plane: ControlPlane,
    scraping: Adapter,
    model_server: ModelServer,
    kube_namespace: str,
) -> None:
    plane, ns = control_plane, kube_namespace
    model_server.page = "vllm:num_requests_waiting 7\n"
    plane.objects.ready_pod("m-0", ip="127.0.0.1", namespace=ns, labels={"app": "m"})
    path = custom(ns, "pods", "*", "queue_depth")
    wait_until(lambda: serves(plane, path), within_s=15, what="the page is read")
    assert raw(plane, path)["items"][0]["value"] == "7"
    model_server.hangs.set()
    clock = SystemClock()
    slowest = 0.0
    said: set[str] = set()
    until = clock.now() + 9
    while clock.now() < until:
        began = clock.now()
        try:
            said.add(raw(plane, path)["items"][0]["value"])
        except ApiError as error:
            said.add(error.reason)
        slowest = max(slowest, clock.now() - began)
    assert slowest < 1.0
    assert said == {"7", "NotFound"}  # as long as it was fresh, then why it is not


def test_a_counter_that_starts_again_is_no_burst_and_no_lull(
    control_plane: ControlPlane,
    scraping: Adapter,
    model_server: ModelServer,
    kube_namespace: str,
) -> None:
    """Ten tokens a second, over a restart of the model server that sets its counter to zero."""
    plane, ns = control_plane, kube_namespace
    stop = threading.Event()
    clock = SystemClock()

    def count() -> None:
        began, total = clock.now(), 1_000_000.0
        restarted = False
        while not stop.wait(0.05):
            elapsed = clock.now() - began
            if elapsed > 12 and not restarted:
                restarted, total = True, 0.0
            base = (elapsed - 12) if restarted else elapsed
            model_server.page = f"vllm:generation_tokens_total {total + 10 * base:.3f}\n"

    counter = threading.Thread(target=count)
    counter.start()
    try:
        plane.objects.ready_pod("m-1", ip="127.0.0.1", namespace=ns, labels={"app": "m"})
        path = custom(ns, "pods", "*", "output_tokens_per_second")
        wait_until(lambda: serves(plane, path), within_s=20, what="there is a rate")
        seen: list[float] = []
        until = clock.now() + 16
        while clock.now() < until:
            if serves(plane, path):
                text = raw(plane, path)["items"][0]["value"]
                seen.append(float(text[:-1]) / 1000 if text.endswith("m") else float(text))
    finally:
        stop.set()
        counter.join()
    assert seen
    assert max(seen) < 13
    assert min(seen) > 7
