"""Choosing endpoints: profiles of filters, scorers and a picker, built from configuration."""
