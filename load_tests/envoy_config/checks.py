"""How Envoy notices that the endpoint picker is away, and back. Pure."""

from __future__ import annotations

from load_tests.envoy_config.plan import PickerPlan
from load_tests.envoy_config.words import Document


def checks(picker: PickerPlan) -> Document:
    """What the cluster of ``picker`` says of health; nothing where nobody asks for it."""
    if picker.failure_mode_allow:
        return _known_to_be_down()
    return _grpc_health() if picker.health_check else {}


def _grpc_health() -> Document:
    service = "envoy.service.ext_proc.v3.ExternalProcessor"
    return {
        "health_checks": [
            {
                "timeout": "2s",
                "interval": "10s",
                "unhealthy_threshold": 3,
                "healthy_threshold": 2,
                "grpc_health_check": {"service_name": service},
            }
        ]
    }


def _known_to_be_down() -> Document:
    """Take a picker that cannot be reached out at once, and look every half second for it.

    A body already streamed to the picker in FULL_DUPLEX_STREAMED mode is gone when the picker
    turns out to be away: Envoy then answers 5xx although it may fail open. Only a request that
    finds the picker known to be down passes it by; one failure makes it known. The check keeps it
    known: when an ejection ends, Envoy 1.40 may fail requests for a whole second before the next.
    """
    never = ("consecutive_5xx", "consecutive_gateway_failure", "success_rate")
    return {
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "health_checks": [
            {
                "timeout": "1s",
                "interval": "0.5s",
                "no_traffic_interval": "0.5s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "tcp_health_check": {},
            }
        ],
        "outlier_detection": {
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": 1,
            "enforcing_consecutive_local_origin_failure": 100,
            "enforcing_local_origin_success_rate": 0,
            **{f"enforcing_{reason}": 0 for reason in never},
            "interval": "1s",
            "base_ejection_time": "1s",
            "max_ejection_time": "1s",
            "max_ejection_percent": 100,
        },
    }
