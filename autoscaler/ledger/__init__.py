"""What was decided, from what, and what became of it: append-only, bounded, replayable."""
