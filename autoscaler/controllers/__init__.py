"""The loop that runs live: collect, decide, act, report."""
