"""What an endpoint picker costs: CPU per request, added latency, requests per second and core.

A real Envoy in front of cheap backends, driven through each picker in turn and once without any.
``python -m load_tests.overhead``; every process it starts ends with it.
"""
