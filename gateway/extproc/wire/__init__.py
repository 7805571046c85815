"""HTTP/2 and gRPC for one purpose: hosting ext_proc streams at the least CPU per message.

``connection`` is sans-IO and total: bytes in, events out, bytes to send. ``server`` is the rim.
"""
