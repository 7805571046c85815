"""Loadstar's foundation: what the gateway, the autoscaler and the metrics adapter share.

It imports none of them, and knows nothing of Envoy.
"""
