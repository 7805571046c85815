"""Configuration: strict documents into frozen values, every problem with its path."""
