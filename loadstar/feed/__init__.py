"""SignalFeed on the wire: snapshots pushed once a second, and heard from every replica."""
