"""Flags as servers on Kubernetes' own library take them, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadstar.config.document import Value
from loadstar.config.errors import ConfigError
from metrics_adapter.check import check, knows
from metrics_adapter.config.command_line import parse, usage


def problems(*argv: str) -> list[str]:
    with pytest.raises(ConfigError) as wrong:
        parse(argv)
    return [str(problem) for problem in wrong.value.problems]


def test_the_flags_of_other_adapters_are_understood(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("")
    flags, notes = parse(
        [
            "--secure-port=443",
            f"--tls-cert-file={file}",
            f"--tls-private-key-file={file}",
            f"--client-ca-file={file}",
            f"--requestheader-client-ca-file={file}",
            "--requestheader-allowed-names=front-proxy-client,aggregator",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--authentication-kubeconfig={file}",
            f"--authorization-kubeconfig={file}",
            "--authentication-skip-lookup",
            "--authorization-always-allow-paths=/healthz,/open/*",
            "--enable-external-metrics-api=false",
            "--metrics-relist-interval=30s",
            "--logtostderr=true",
            "-v=4",
        ]
    )
    assert (flags.secure_port, flags.v, flags.enable_external_metrics_api) == (443, 4, False)
    assert flags.requestheader_allowed_names == ("front-proxy-client", "aggregator")
    assert flags.authentication_skip_lookup
    assert sorted(notes) == [
        "--logtostderr has no effect: it always does",
        "--metrics-relist-interval has no effect: answers come from memory, and what is known is "
        "always current",
    ]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--tls-cert-file=/dev/null"], "--tls-cert-file: and --tls-private-key-file go together"),
        (["--managed-certificate-secret=a/b"], "--service: is needed"),
        (["--managed-certificate-secret=b"], "--managed-certificate-secret: 'b' is not NAMESPACE"),
        (["--request-timeout=1m"], "--request-timeout: must be more than 0 and at most 10s"),
        (["--bare", "--bind-address=0.0.0.0"], "--bind-address: with --bare only this machine"),
        (["--config=/no/such/file"], "--config: /no/such/file: no such file"),
        (["--prometheus-url=http://x"], "--prometheus-url: is no flag here; name the server under"),
        (["--secure-prot=1"], "--secure-prot: unknown flag, did you mean --secure-port?"),
        (
            ["--enable-custom-metrics-api=false", "--enable-external-metrics-api=false"],
            "--enable-external-metrics-api: nothing is left to serve",
        ),
        (
            ["--requestheader-allowed-names=a"],
            "--requestheader-allowed-names: has no effect without --requestheader-client-ca-file",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_mend(argv: list[str], said: str) -> None:
    found = problems(*argv)
    assert any(each.startswith(said) for each in found), found


def test_bare_listens_to_this_machine_only() -> None:
    assert parse(["--bare"])[0].bind_address == "127.0.0.1"


def test_a_directory_of_a_certificate_is_its_two_files(tmp_path: Path) -> None:
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).write_text("")
    flags, _ = parse([f"--cert-dir={tmp_path}"])
    assert flags.tls_cert_file == str(tmp_path / "tls.crt")
    assert flags.tls_private_key_file == str(tmp_path / "tls.key")
    assert problems("--cert-dir=/nowhere") == [
        "--tls-cert-file: /nowhere/tls.crt: no such file",
        "--tls-private-key-file: /nowhere/tls.key: no such file",
    ]


def test_help_shows_every_flag_with_its_default() -> None:
    text = usage()
    assert "--secure-port int  (default 6443)" in text
    assert "--managed-ca-lifetime duration  (default 8760h)" in text


def test_check_knows_our_documents_and_what_is_wrong_in_them() -> None:
    wrong: dict[str, Value] = {
        "kind": "MetricsAdapterConfig",
        "sources": [{"type": "fiel", "path": "x"}],
    }
    assert knows(wrong)
    assert not knows({"kind": "EndpointPickerConfig"})
    assert not knows({"metrics": []})
    (problem,) = check(wrong, "data[adapter.yaml]")
    assert problem.path == "data[adapter.yaml].sources[0].type"
    assert "did you mean file?" in problem.message
    right: dict[str, Value] = {"sources": [{"type": "file", "path": "x"}]}
    assert check(right, "") == []
