"""The aggregated metrics API server: reserved here, not built yet (see CHANGELOG.md)."""
