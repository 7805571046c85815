"""For tests that read a kubeconfig: name ``kubeconfig_may_block`` in a conftest or module."""

from __future__ import annotations

import pytest
from blockbuster import BlockBuster


@pytest.fixture(autouse=True)
def kubeconfig_may_block(_no_blocking_in_the_loop: BlockBuster) -> None:
    """kubernetes.aio reads its files in a loop that has a thread for itself: nobody waits."""
    for function in _no_blocking_in_the_loop.functions.values():
        function.can_block_in("loadstar/kube/credentials.py", {"_from_kubeconfig"})
