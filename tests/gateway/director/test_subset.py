"""A subset hint names whole endpoints, in whatever spelling an address has."""

from __future__ import annotations

import pytest

from gateway.datalayer.state import Endpoint
from gateway.director.subset import Addresses
from tests.builders import endpoint, pool

V4_A = endpoint(0, address="10.0.0.1", port=8000)
V4_B = endpoint(1, address="10.0.0.1", port=8001)
V4_C = endpoint(2, address="10.0.0.2", port=8000)
V6_A = endpoint(3, address="2001:db8::1", port=8000)
V6_B = endpoint(4, address="2001:DB8:0:0:0:0:0:2", port=8000)
NAMED = endpoint(5, address="Localhost", port=8000)
ADDRESSES = Addresses(pool(V4_A, V4_B, V4_C, V6_A, V6_B, NAMED))


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        pytest.param("10.0.0.1:8000", (V4_A,), id="one rank of a pod, not its neighbour"),
        pytest.param("10.0.0.1:8002", (), id="right address, wrong port"),
        pytest.param("10.0.0.1", (V4_A, V4_B), id="bare address is every port of it"),
        pytest.param("  10.0.0.2:8000\t", (V4_C,), id="blanks around"),
        pytest.param("::ffff:10.0.0.2", (V4_C,), id="IPv4 mapped into IPv6"),
        pytest.param("[::ffff:10.0.0.2]:8000", (V4_C,), id="mapped, in brackets"),
        pytest.param("[2001:db8::1]:8000", (V6_A,), id="IPv6 in brackets"),
        pytest.param("2001:db8::1:8000", (V6_A,), id="IPv6 without brackets"),
        pytest.param("[2001:DB8:0::0:1]:8000", (V6_A,), id="upper case, other zeros"),
        pytest.param("[2001:db8::2]:8000", (V6_B,), id="the pool's own spelling is odd"),
        pytest.param("[2001:db8::1]", (V6_A,), id="bracketed, no port"),
        pytest.param("2001:db8::1", (V6_A,), id="bare IPv6 is every port of it"),
        pytest.param("[2001:db8::1]:8001", (), id="IPv6, wrong port"),
        pytest.param("localhost:8000", (NAMED,), id="a name, in another case"),
        pytest.param("10.9.9.9:8000", (), id="not of this pool"),
        pytest.param("", (), id="empty"),
        pytest.param(":", (), id="colon"),
        pytest.param(":8000", (), id="no address"),
        pytest.param("10.0.0.1:", (), id="no port after the colon"),
        pytest.param("10.0.0.1:80a0", (), id="port is no number"),
        pytest.param("10.0.0.1:" + "8" * 9000, (), id="port is endless"),
        pytest.param("10.0.0.1:٨٠٠٠", (), id="digits of another script"),
        pytest.param("[2001:db8::1", (), id="bracket left open"),
        pytest.param("[2001:db8::1]8000", (), id="no colon after the bracket"),
        pytest.param("[]:8000", (), id="nothing in brackets"),
    ],
)
def test_an_entry_names(entry: str, named: tuple[Endpoint, ...]) -> None:
    assert ADDRESSES.among((entry,)) == named


def test_endpoints_come_once_each_in_the_pools_order() -> None:
    entries = ("[2001:db8::1]:8000", "10.0.0.1", "10.0.0.1:8000", "nonsense")
    assert ADDRESSES.among(entries) == (V4_A, V4_B, V6_A)


def test_an_unbracketed_address_with_a_port_goes_before_a_longer_address() -> None:
    """``2001:db8::1:8000`` is both; the protocol's entries have ports."""
    longer = endpoint(1, address="2001:db8::1:8000", port=9000)
    assert Addresses(pool(V6_A, longer)).among(("2001:db8::1:8000",)) == (V6_A,)
    assert Addresses(pool(longer)).among(("2001:db8::1:8000",)) == (longer,)


def test_two_endpoints_at_one_destination_are_both_named() -> None:
    twin = endpoint(1, address="10.0.0.2", port=8000)
    assert Addresses(pool(V4_C, twin)).among(("10.0.0.2:8000",)) == (V4_C, twin)


@pytest.mark.parametrize(
    ("destination", "found"),
    [
        pytest.param("10.0.0.1:8001", V4_B, id="as the pool writes it"),
        pytest.param("[2001:DB8::1]:8000", V6_A, id="as a proxy may write it"),
        pytest.param("10.0.0.2", V4_C, id="bare, and only one there"),
        pytest.param("10.0.0.1", None, id="bare, and several there"),
        pytest.param("10.9.9.9:80", None, id="a stranger"),
    ],
)
def test_the_endpoint_that_served_is_found(destination: str, found: Endpoint | None) -> None:
    assert ADDRESSES.find(destination) == found
