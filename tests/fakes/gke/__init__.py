"""A GKE and Compute API that behaves and misbehaves as the real ones are documented to."""
