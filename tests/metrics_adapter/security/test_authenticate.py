"""Who a caller is, over the whole matrix of certificates, headers and tokens."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from metrics_adapter.security.authenticate import authenticate
from metrics_adapter.security.identity import ANONYMOUS, BadCredentials, CannotTell, User
from metrics_adapter.security.peer import Peer
from tests.metrics_adapter.security.builders import (
    CLIENT_CA,
    HPA,
    OTHER_CA,
    PROXY_CA,
    headers,
    peer,
    trust,
)

AS_HPA = headers(
    ("X-Remote-User", HPA),
    ("X-Remote-Group", "system:serviceaccounts"),
    ("x-remote-group", "system:serviceaccounts:kube-system"),
    ("X-Remote-Group", "system:authenticated"),
    ("X-Remote-Extra-Authentication.kubernetes.io%2fcredential-Id", "JTI=1"),
)
FORGED = headers(("X-Remote-User", "root"), ("X-Remote-Group", "system:masters"))


class Tokens:
    async def user_of(self, token: str) -> User | None:
        if token == "lost":
            raise CannotTell("no answer")
        return User("bob", ("devs",)) if token == "bobs" else None


def bearer(token: str, *more: tuple[str, str]) -> CIMultiDict[str]:
    return headers(("Authorization", f"Bearer {token}"), *more)


@pytest.mark.parametrize(
    ("certificate", "sent", "user"),
    [
        pytest.param(
            peer(),
            AS_HPA,
            User(
                HPA,
                (
                    "system:serviceaccounts",
                    "system:serviceaccounts:kube-system",
                    "system:authenticated",
                ),
                extra={"authentication.kubernetes.io/credential-id": ("JTI=1",)},
            ),
            id="the front proxy speaks for whom it says, in all its groups",
        ),
        pytest.param(
            peer(),
            headers(("X-Remote-User", "system:kube-aggregator")),
            User("system:kube-aggregator", ("system:authenticated",)),
            id="whoever proved a name is authenticated, said or not",
        ),
        pytest.param(None, headers(), ANONYMOUS, id="nothing shown is nobody"),
        pytest.param(None, FORGED, ANONYMOUS, id="headers without a certificate say nothing"),
        pytest.param(
            peer("front-proxy-client", anchor=CLIENT_CA),
            FORGED,
            User("front-proxy-client", ("system:authenticated",)),
            id="the proxy's name from the clients' CA is a client of that name",
        ),
        pytest.param(
            peer("alice", anchor=CLIENT_CA, groups=("devs", "ops")),
            FORGED,
            User("alice", ("devs", "ops", "system:authenticated")),
            id="a client speaks for itself",
        ),
        pytest.param(
            peer(), headers(), ANONYMOUS, id="the proxy itself, speaking for nobody, is nobody"
        ),
        pytest.param(
            None,
            bearer("bobs"),
            User("bob", ("devs", "system:authenticated")),
            id="a good token",
        ),
        pytest.param(
            peer("someone-else"),
            bearer("bobs"),
            User("bob", ("devs", "system:authenticated")),
            id="a good token after a certificate that is not",
        ),
        pytest.param(
            peer(),
            headers(("X-Remote-User", ""), ("Authorization", "bearer bobs")),
            User("bob", ("devs", "system:authenticated")),
            id="an empty name is no name, and the scheme has no case",
        ),
        pytest.param(
            None, headers(("Authorization", "Basic cm9vdDpyb290")), ANONYMOUS, id="no such scheme"
        ),
    ],
)
async def test_who_it_is(certificate: Peer | None, sent: CIMultiDict[str], user: User) -> None:
    assert await authenticate(certificate, sent, trust(), Tokens()) == user


@pytest.mark.parametrize(
    ("certificate", "sent"),
    [
        pytest.param(peer("someone-else"), FORGED, id="another name from the proxy's CA"),
        pytest.param(peer(anchor=OTHER_CA), FORGED, id="a CA that is no longer trusted"),
        pytest.param(peer(anchor=b""), FORGED, id="a chain that cannot be told"),
        pytest.param(peer("", anchor=CLIENT_CA), headers(), id="a client without a name"),
        pytest.param(None, bearer("nobodys"), id="a bad token"),
        pytest.param(None, bearer("nobodys", *FORGED.items()), id="a bad token and forged headers"),
        pytest.param(None, bearer("lost"), id="a token that nobody could review"),
    ],
)
async def test_bad_credentials_are_not_anonymous(
    certificate: Peer | None, sent: CIMultiDict[str]
) -> None:
    with pytest.raises(BadCredentials):
        await authenticate(certificate, sent, trust(), Tokens())


async def test_a_token_with_nobody_to_ask_is_refused() -> None:
    with pytest.raises(BadCredentials):
        await authenticate(None, bearer("bobs"), trust(), None)


async def test_any_name_is_allowed_where_none_is_listed() -> None:
    user = await authenticate(peer("aggregator-7"), AS_HPA, trust(names=()), None)
    assert user.name == HPA


async def test_a_uid_is_believed_only_where_the_cluster_says_so() -> None:
    """A proxy that does not know the header passes on what the caller wrote in it."""
    sent = headers(("X-Remote-User", "bob"), ("X-Remote-Uid", "42"))
    assert (await authenticate(peer(), sent, trust(), None)).uid == ""
    told = trust(uid=("X-Remote-Uid",))
    assert (await authenticate(peer(), sent, told, None)).uid == "42"


async def test_a_ca_of_both_kinds_speaks_for_others_only_under_the_right_name() -> None:
    both = trust()
    both = type(both)(proxy=both.proxy, clients=both.proxy, headers=both.headers)
    sent = headers(("X-Remote-User", "root"))
    assert (await authenticate(peer(), sent, both, None)).name == "root"
    assert (await authenticate(peer("alice", anchor=PROXY_CA), sent, both, None)).name == "alice"
