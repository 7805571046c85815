"""Saturation detectors: how full the pool is, and as filters, which endpoints are not."""
