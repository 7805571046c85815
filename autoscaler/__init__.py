"""The predictive controller: reserved here, not built yet (see CHANGELOG.md for what exists)."""
