"""``loadstar autoscaler``: the service, or one of the commands that work beside it.

Loads nothing but what is asked for: the service without the simulator, and the other way round.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

COMMANDS = {"simulate": "autoscaler.commands.simulate", "run": "autoscaler.main"}


def main(argv: Sequence[str] | None = None) -> int:
    """Dispatch on the first word; without one of ours it is the service's own command line."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in COMMANDS:
        module, rest = COMMANDS[words[0]], words[1:]
    else:
        module, rest = COMMANDS["run"], words
    return int(importlib.import_module(module).main(rest))


if __name__ == "__main__":
    sys.exit(main())
