"""Scorers: how good each candidate is, 0 to 1, one idea each."""
