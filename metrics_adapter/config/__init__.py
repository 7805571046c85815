"""The adapter's command line."""
