"""Answers of the API server: kept for a while, asked for once, never guessed."""

from __future__ import annotations

import asyncio

import pytest

from loadstar.kube.errors import Forbidden, Unreachable
from metrics_adapter.security.attributes import Attributes
from metrics_adapter.security.authorize import AccessReviews, Verdict, forbidden
from metrics_adapter.security.identity import ANONYMOUS, CannotTell, User
from metrics_adapter.security.reviews import Kept
from metrics_adapter.security.token_reviews import TokenReviews, read
from tests.fakes.clock import ManualClock
from tests.metrics_adapter.security.builders import HPA, ApiServer

BOB = User("bob", ("devs",))
KV = Attributes("get", "/apis/…", "custom.metrics.k8s.io", "v1beta2", "lab", "pods", "kv", "*")


def ignored(kind: str, code: str, seconds: float) -> None:
    """Counts are another test's."""


def access(server: ApiServer, clock: ManualClock, deny: float = 10) -> AccessReviews:
    paths = ("/healthz", "/open/*")
    return AccessReviews(
        server, clock, paths=paths, allow_seconds=10, deny_seconds=deny, measure=ignored
    )


def tokens(server: ApiServer, clock: ManualClock, *audiences: str) -> TokenReviews:
    return TokenReviews(server, clock, key=b"k", seconds=10, audiences=audiences, measure=ignored)


class Question:
    """Counts how often it was put; answers when told."""

    def __init__(self) -> None:
        self.put = 0
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> str:
        self.put += 1
        return await asyncio.shield(self.answer)


def kept(clock: ManualClock, most: int = 10) -> Kept[str]:
    return Kept(clock, seconds=lambda _: 10, most=most, at_once=4)


async def test_many_who_wait_ask_once() -> None:
    memory, ask = kept(ManualClock()), Question()
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(memory.get(b"k", ask)) for _ in range(20)]
        await asyncio.sleep(0)
        ask.answer.set_result("yes")
    assert ({task.result() for task in waiting}, ask.put) == ({"yes"}, 1)
    assert (memory.counts.asked, memory.counts.shared, memory.counts.hits) == (1, 19, 0)


async def test_who_gives_up_takes_nobody_along() -> None:
    memory, ask = kept(ManualClock()), Question()
    first = asyncio.get_running_loop().create_task(memory.get(b"k", ask))
    await asyncio.sleep(0)
    async with asyncio.TaskGroup() as group:
        others = [group.create_task(memory.get(b"k", ask)) for _ in range(3)]
        await asyncio.sleep(0)
        others[0].cancel()
        first.cancel()
        await asyncio.sleep(0.01)
        ask.answer.set_result("yes")
    assert [task.result() for task in others[1:]] == ["yes", "yes"]
    assert ask.put == 2  # the second asked in place of the first


async def test_a_failure_is_everybodys_and_is_not_kept() -> None:
    memory, ask = kept(ManualClock()), Question()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_caught(memory, ask)),
            group.create_task(_caught(memory, ask)),
        ]
        await asyncio.sleep(0)
        ask.answer.set_exception(CannotTell("gone"))
    assert [task.result() for task in tasks] == ["gone", "gone"]
    again = Question()
    again.answer.set_result("yes")
    assert await memory.get(b"k", again) == "yes"


async def _caught(memory: Kept[str], ask: Question) -> str:
    try:
        return await memory.get(b"k", ask)
    except CannotTell as error:
        return str(error)


async def test_answers_grow_old_and_memory_is_bounded() -> None:
    clock = ManualClock()
    memory, ask = kept(clock, most=2), Question()
    ask.answer.set_result("yes")
    for key in (b"a", b"b", b"a", b"c", b"a"):
        await memory.get(key, ask)
    assert (ask.put, len(memory)) == (3, 2)  # b was the one not used for longest
    clock.advance(10)
    await memory.get(b"a", ask)
    assert ask.put == 4


async def test_a_right_is_asked_for_once_in_ten_seconds() -> None:
    clock, server = ManualClock(), ApiServer(allows=lambda spec: spec["user"] == "bob")
    authorizer = access(server, clock, deny=5)
    for _ in range(3):
        assert (await authorizer.may(BOB, KV)).allowed
        assert not (await authorizer.may(ANONYMOUS, KV)).allowed
    assert server.asked == [
        {
            "user": "bob",
            "groups": ["devs"],
            "resourceAttributes": {
                "verb": "get",
                "group": "custom.metrics.k8s.io",
                "version": "v1beta2",
                "namespace": "lab",
                "resource": "pods",
                "subresource": "kv",
                "name": "*",
            },
        },
        {
            "user": "system:anonymous",
            "groups": ["system:unauthenticated"],
            "resourceAttributes": server.asked[0]["resourceAttributes"],
        },
    ]
    clock.advance(5)
    await authorizer.may(BOB, KV)
    await authorizer.may(ANONYMOUS, KV)
    assert len(server.asked) == 3  # a no is forgotten sooner, as asked


async def test_masters_and_open_paths_are_never_asked_about() -> None:
    server = ApiServer()
    authorizer = access(server, ManualClock())
    assert await authorizer.may(User("a", ("system:masters",)), KV) == Verdict(True)
    for path in ("/healthz", "/open/door"):
        assert await authorizer.may(ANONYMOUS, Attributes("get", path)) == Verdict(True)
    assert server.asked == []
    assert not (await authorizer.may(ANONYMOUS, Attributes("get", "/healthz/x"))).allowed


async def test_no_answer_is_neither_yes_nor_no() -> None:
    server = ApiServer(allows=lambda spec: True)
    server.errors = [Unreachable("reset"), Unreachable("refused"), Unreachable("refused")]
    with pytest.raises(CannotTell):
        await access(server, ManualClock()).may(BOB, KV)
    server.errors = [Forbidden("may not ask")]
    with pytest.raises(CannotTell):
        await access(server, ManualClock()).may(BOB, KV)
    server.errors = [Unreachable("reset")]
    assert (await access(server, ManualClock()).may(BOB, KV)).allowed


async def test_a_very_long_question_is_not_remembered() -> None:
    server = ApiServer(allows=lambda spec: True)
    authorizer = access(server, ManualClock())
    long = User("x" * 10_000)
    await authorizer.may(long, KV)
    await authorizer.may(long, KV)
    assert (len(server.asked), len(authorizer.kept)) == (2, 0)


async def test_a_denial_wins_over_an_allowance() -> None:
    class Both(ApiServer):
        async def subject_access_review(self, spec: dict[str, object]) -> dict[str, object]:
            return {"allowed": True, "denied": True}

    assert not (await access(Both(), ManualClock()).may(BOB, KV)).allowed


async def test_tokens_are_reviewed_once_and_kept_out_of_memory() -> None:
    clock, server = (
        ManualClock(),
        ApiServer(users={"good": {"username": "bob", "groups": ["devs"]}}),
    )
    reviews = tokens(server, clock)
    for _ in range(2):
        assert await reviews.user_of("good") == BOB
        assert await reviews.user_of("bad") is None
    assert server.asked == ["good", "bad"]
    clock.advance(10)
    assert await reviews.user_of("good") == BOB
    assert server.asked == ["good", "bad", "good"]
    assert await reviews.user_of("x" * 20_000) is None
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("status", "audiences", "known"),
    [
        ({"authenticated": True, "user": {"username": "bob"}}, (), True),
        ({"authenticated": True, "user": {"username": "bob"}, "audiences": ["us"]}, ("us",), True),
        ({"authenticated": True, "user": {"username": "bob"}, "audiences": ["x"]}, ("us",), False),
        ({"authenticated": False, "user": {"username": "bob"}}, (), False),
        ({"authenticated": "yes", "user": {"username": "bob"}}, (), False),
        ({"authenticated": True, "user": {}}, (), False),
        ({}, (), False),
    ],
)
def test_only_a_plain_yes_for_us_is_a_user(
    status: dict[str, object], audiences: tuple[str, ...], known: bool
) -> None:
    assert (read(status, audiences) is not None) is known


def test_refusals_say_what_kube_apiserver_would() -> None:
    assert forbidden(BOB, KV) == (
        'pods.custom.metrics.k8s.io "*" is forbidden: User "bob" cannot get resource "pods/kv" in '
        'API group "custom.metrics.k8s.io" in the namespace "lab"'
    )
    assert forbidden(User(HPA), Attributes("get", "/metrics")) == (
        f'forbidden: User "{HPA}" cannot get path "/metrics"'
    )
