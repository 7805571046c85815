"""The command line behaves as the reference's does, and says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.command_line import parse, usage
from gateway.config.flags import Flags
from loadstar.config.errors import ConfigError
from loadstar.config.pflag import HelpWanted

DEFAULTS = Flags()


@pytest.mark.parametrize(
    ("argv", "changed"),
    [
        pytest.param([], {}, id="nothing"),
        pytest.param(["--grpc-port", "7000"], {"grpc_port": 7000}, id="value in the next word"),
        pytest.param(["--grpc-port=7000"], {"grpc_port": 7000}, id="value after equals"),
        pytest.param(["--grpc-port=0x1b58"], {"grpc_port": 7000}, id="Go's integer bases"),
        pytest.param(["--grpc-port=1", "--grpc-port=2"], {"grpc_port": 2}, id="the last one wins"),
        pytest.param(["--health-checking"], {"health_checking": True}, id="bare boolean"),
        pytest.param(["--secure-serving=false"], {"secure_serving": False}, id="false boolean"),
        pytest.param(["--secure-serving=F"], {"secure_serving": False}, id="Go's short booleans"),
        pytest.param(["-v", "4"], {"v": 4}, id="one letter, next word"),
        pytest.param(["-v=4"], {"v": 4}, id="one letter, equals"),
        pytest.param(["-v4"], {"v": 4}, id="one letter, attached"),
        pytest.param(["--v=4"], {"v": 4}, id="one letter, two dashes"),
        pytest.param(
            ["--drain-timeout=1m30s"], {"drain_timeout": 90.0}, id="Go's compound durations"
        ),
        pytest.param(["--drain-timeout=0"], {"drain_timeout": 0.0}, id="zero needs no unit"),
        pytest.param(
            ["--endpoint-target-ports=3000,3001", "--endpoint-target-ports=3002"],
            {"endpoint_target_ports": (3000, 3001, 3002)},
            id="lists add up",
        ),
        pytest.param(
            ["--grpc-max-recv-msg-size=10MiB"], {"grpc_max_recv_msg_size": 10 << 20}, id="MiB"
        ),
        pytest.param(
            ["--grpc-max-recv-msg-size", "25MB"], {"grpc_max_recv_msg_size": 25_000_000}, id="MB"
        ),
        pytest.param(["--config-text="], {}, id="an empty value is a value"),
        pytest.param(
            ["--pool-name", "--x"], {"pool_name": "--x"}, id="a value may begin with dashes"
        ),
    ],
)
def test_flags_are_read_as_pflag_reads_them(argv: list[str], changed: dict[str, object]) -> None:
    flags, _ = parse(argv)
    expected = {name: getattr(DEFAULTS, name) for name in Flags.__slots__} | changed
    assert {name: getattr(flags, name) for name in Flags.__slots__} == expected


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        pytest.param(
            ["--grcp-port=1"], "--grcp-port: unknown flag, did you mean --grpc-port?", id="unknown"
        ),
        pytest.param(["--x=1"], "--x: unknown flag", id="unknown and unlike"),
        pytest.param(
            ["-grpc-port", "1"],
            "-grpc-port: unknown flag, did you mean --grpc-port?",
            id="one dash too few",
        ),
        pytest.param(["--grpc-port"], "--grpc-port: needs a value", id="value missing"),
        pytest.param(
            ["--grpc-port=http"], "--grpc-port: 'http' is not a whole number", id="not a number"
        ),
        pytest.param(
            ["--metrics-port=65536"],
            "--metrics-port: 65536 is not a port (1 to 65535)",
            id="port out of range",
        ),
        pytest.param(
            ["--tracing=maybe"],
            "--tracing: 'maybe' is not a boolean; write true or false",
            id="not a boolean",
        ),
        pytest.param(
            ["--secure-serving", "false"],
            "unexpected argument 'false'; a boolean is set with --flag=false",
            id="boolean in the next word",
        ),
        pytest.param(["serve"], "unexpected argument 'serve'", id="argument"),
        pytest.param(
            ["--drain-timeout=30"],
            "--drain-timeout: '30' is not a duration like 250ms or 1m30s (the unit is missing)",
            id="duration without its unit",
        ),
        pytest.param(["--drain-timeout=-1s"], "--drain-timeout: '-1s' is negative", id="negative"),
        pytest.param(
            ["--transport=grpc"],
            "--transport: 'grpc' is not one of wire, grpcio, did you mean grpcio?",
            id="no such choice",
        ),
        pytest.param(
            ["--lora-info-metric=x"],
            "--lora-info-metric: is no longer a flag; name the metric under engineConfigs of "
            "core-metrics-extractor in the EndpointPickerConfig",
            id="a metric flag of old",
        ),
        pytest.param(
            ["--config-file=/dev/null/x", "--config-text=a"],
            "--config-text: cannot be given together with --config-file\n"
            "--config-file: /dev/null/x: no such file",
            id="two configurations",
        ),
        pytest.param(
            ["--pool-name=a", "--endpoint-selector=b", "--endpoint-target-ports=1"],
            "--endpoint-selector: cannot be given together with --pool-name",
            id="two pools",
        ),
        pytest.param(
            ["--endpoint-selector=app=vllm"],
            "--endpoint-target-ports: is needed with --endpoint-selector",
            id="selector without ports",
        ),
        pytest.param(
            ["--enable-cert-reload"],
            "--enable-cert-reload: needs --cert-path: a self-signed one does not change",
            id="reload of nothing",
        ),
        pytest.param(
            ["--grpc-health-port=9002"],
            "--grpc-port, --grpc-health-port, --metrics-port and --signals-port must differ",
            id="one port twice",
        ),
        pytest.param(
            ["--grpc-port=x", "--metrics-port=y"],
            "--grpc-port: 'x' is not a whole number\n--metrics-port: 'y' is not a whole number",
            id="every problem at once",
        ),
    ],
)
def test_what_cannot_be_understood_is_said_once_and_clearly(argv: list[str], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(argv)
    assert str(caught.value) == problem


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "tls.crt").touch()
    with pytest.raises(ConfigError) as caught:
        parse([f"--cert-path={tmp_path}"])
    assert str(caught.value) == f"--cert-path: {tmp_path}/tls.key: no such file"


def test_cert_path_is_not_looked_at_when_serving_plaintext() -> None:
    flags, _ = parse(["--secure-serving=false", "--cert-path=/nowhere"])
    assert flags.cert_path == "/nowhere"


def test_a_flag_without_effect_is_taken_and_said() -> None:
    _, notes = parse(["--ha-enable-leader-election", "--refresh-metrics-interval=10ms"])
    assert notes == [
        "--ha-enable-leader-election has no effect: replicas here are all active",
        "--refresh-metrics-interval is below 50ms: 50ms is used",
    ]


REFERENCE = """
grpc-port=9002 ha-enable-leader-election=false drain-timeout=30s grpc-max-recv-msg-size=0
grpc-max-send-msg-size=0 pool-group=inference.networking.k8s.io pool-namespace= pool-name=
endpoint-selector= endpoint-target-ports= disable-endpoint-subset-filter=false
emit-endpoint-scores=false refresh-metrics-interval=50ms refresh-prometheus-metrics-interval=5s
metrics-staleness-threshold=2s v=2 tracing=true health-checking=false metrics-port=9090
grpc-health-port=9003 enable-pprof=true cert-path= enable-cert-reload=false
enable-grpc-stream-metrics=false secure-serving=true tls-cipher-suites= metrics-endpoint-auth=true
metrics-client-ca-file= metrics-cert-dir= config-file= config-text=
allow-experimental-plugins=false model-server-metrics-scheme=http
model-server-metrics-path=/metrics model-server-metrics-port=0
model-server-metrics-https-insecure-skip-verify=true zap-devel=true
"""


def test_every_flag_of_the_reference_has_its_name_and_default() -> None:
    """Given its own default, each flag of the router changes nothing."""
    given = ["--" + flag for flag in REFERENCE.split()]
    assert parse(given)[0] == DEFAULTS


@pytest.mark.parametrize(
    ("argv", "verbosity"),
    [
        pytest.param([], 2, id="default"),
        pytest.param(["-v=5"], 5, id="v"),
        pytest.param(["-v=-1"], 2, id="a negative one is the default, as in the reference"),
        pytest.param(["--zap-log-level=error"], 0, id="zap's word"),
        pytest.param(["--zap-log-level=3", "-v=5"], 3, id="zap's number wins over v"),
    ],
)
def test_verbosity(argv: list[str], verbosity: int) -> None:
    assert parse(argv)[0].verbosity == verbosity


def test_a_buffered_message_may_hold_the_longest_body() -> None:
    flags, _ = parse(["--max-body-bytes=100MiB"])
    assert flags.max_receive_bytes > 100 << 20
    assert flags.max_send_bytes == flags.max_receive_bytes


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_is_wanted(word: str) -> None:
    with pytest.raises(HelpWanted):
        parse(["--grpc-port=1", word])


def test_help_shows_every_flag_within_a_terminal() -> None:
    text = usage()
    shown = {line.split()[0].lstrip("-") for line in text.splitlines() if line.startswith("  -")}
    assert shown == {name.replace("_", "-") for name in Flags.__slots__}
    assert max(map(len, text.splitlines())) <= 100
