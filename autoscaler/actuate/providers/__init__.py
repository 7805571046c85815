"""Who sells capacity. Providers do not know each other."""
