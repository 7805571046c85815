"""Emulated model servers: a vLLM-like engine in virtual time, and HTTP servers around it.

``engine`` decides, pure, in its own seconds. ``virtual`` runs a fleet of engines faster than
real time; ``server`` runs one behind a port at the pace of the wall clock. Same engine in both.
"""
