"""Whose word is taken: the cluster's ConfigMap, and what flags say instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from metrics_adapter.security import trust
from metrics_adapter.security.trust import Authority, ProxyHeaders, Trust, UnusableTrust
from metrics_adapter.security.trust_source import TrustSource
from tests.controlplane.pki import Authority as Maker


@pytest.fixture
def pems(tmp_path: Path) -> tuple[str, str]:
    clients, proxy = (Maker(tmp_path, name).cert.read_text() for name in ("clients", "proxy"))
    return clients, proxy


def entries(pems: tuple[str, str], **changed: str) -> dict[str, str]:
    return {
        "client-ca-file": pems[0],
        "requestheader-client-ca-file": pems[1],
        "requestheader-allowed-names": '["front-proxy-client"]',
        "requestheader-username-headers": '["X-Remote-User"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
        **{key.replace("_", "-"): value for key, value in changed.items()},
    }


def test_the_cluster_says_whom_to_believe(pems: tuple[str, str]) -> None:
    found = trust.from_config_map(entries(pems))
    assert found.headers == ProxyHeaders(allowed_names=("front-proxy-client",))
    assert (len(found.proxy.ders), len(found.clients.ders)) == (1, 1)
    assert found.proxy.ders.isdisjoint(found.clients.ders)
    assert found.pem.count(b"BEGIN CERTIFICATE") == 2


def test_a_proxy_whose_headers_are_not_told_is_no_proxy(pems: tuple[str, str]) -> None:
    found = trust.from_config_map(entries(pems, requestheader_username_headers="[]"))
    assert found.proxy == Authority()
    assert found.clients


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("requestheader_allowed_names", "front-proxy-client", "requestheader-allowed-names"),
        ("requestheader_allowed_names", '{"a": 1}', "requestheader-allowed-names"),
        ("requestheader_group_headers", "[1]", "requestheader-group-headers"),
        ("client_ca_file", "not a certificate", "client-ca-file"),
    ],
)
def test_what_cannot_be_read_is_named(
    pems: tuple[str, str], key: str, value: str, place: str
) -> None:
    with pytest.raises(UnusableTrust, match=place):
        trust.from_config_map(entries(pems, **{key: value}))


def test_flags_win_one_by_one(pems: tuple[str, str]) -> None:
    cluster = trust.from_config_map(entries(pems))
    own = Authority(b"own", frozenset({b"own"}))
    only = ProxyHeaders(allowed_names=("mine",))
    assert trust.overridden(cluster, Trust(headers=only)) == cluster
    assert trust.overridden(cluster, Trust(proxy=own, headers=only)) == Trust(
        own, cluster.clients, only
    )
    assert trust.overridden(cluster, Trust(clients=own)) == Trust(
        cluster.proxy, own, cluster.headers
    )


def test_an_empty_ca_file_is_an_error(tmp_path: Path) -> None:
    """Else a file that was emptied by mistake would quietly mean 'as the cluster says'."""
    (tmp_path / "ca.crt").write_text("")
    source = TrustSource(
        client_ca_file=str(tmp_path / "ca.crt"),
        proxy_ca_file="",
        headers=ProxyHeaders(),
        believe=lambda _: None,
    )
    with pytest.raises(UnusableTrust, match=r"ca\.crt"):
        source.load()
