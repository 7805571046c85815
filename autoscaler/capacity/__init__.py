"""What a replica can do, how it slows as it fills, and how long one takes to come. Pure."""
