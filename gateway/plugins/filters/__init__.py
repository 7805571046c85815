"""Filters: which candidates may be picked at all."""
