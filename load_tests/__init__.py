"""Load, measured: emulated model servers, a real Envoy, the gateway, and a client that counts.

Not part of the distribution. ``python -m load_tests --help`` lists what there is.
"""

import os

# We start processes while gRPC is loaded. Its fork handlers are for children that go on using
# gRPC after fork; ours become another program at once, and the handlers only complain.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
