"""Generated code of our .proto files: ``python -m protos.generate`` writes it, ``--check`` compares.

Called by a person who has changed a .proto file, and by a test that holds the two together. Needs
grpcio-tools and mypy-protobuf, which are development dependencies.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (
    "protos/signals/v1/signals.proto",
    "protos/extproc/v3/external_processor.proto",
)
SUFFIXES = ("_pb2.py", "_pb2.pyi")
STUB_HEAD = '# mypy: disable-error-code="mutable-override"\n'
"""What protobuf's own stubs say of descriptors, generated ones narrow."""


def generate(into: Path) -> list[Path]:
    """Write the code of every source below ``into``; what was written, relative to it."""
    import grpc_tools
    from grpc_tools import protoc

    well_known = Path(grpc_tools.__file__).with_name("_proto")
    plugin = Path(sys.executable).with_name("protoc-gen-mypy")
    arguments = [
        "protoc",
        f"--proto_path={ROOT}",
        f"--proto_path={well_known}",
        f"--python_out={into}",
        f"--plugin=protoc-gen-mypy={plugin}",
        f"--mypy_out=quiet:{into}",
        *SOURCES,
    ]
    if protoc.main(arguments) != 0:
        raise RuntimeError("protoc failed")
    for source in SOURCES:
        stub = into / source.replace(".proto", "_pb2.pyi")
        stub.write_text(STUB_HEAD + stub.read_text())
    names = [source.replace(".proto", suffix) for source in SOURCES for suffix in SUFFIXES]
    return [Path(name) for name in names]


def outdated() -> list[str]:
    """The generated files that are not what their sources say."""
    with tempfile.TemporaryDirectory() as directory:
        fresh = Path(directory)
        return [
            str(path)
            for path in generate(fresh)
            if not (ROOT / path).is_file()
            or (ROOT / path).read_bytes() != (fresh / path).read_bytes()
        ]


def main() -> int:
    if "--check" in sys.argv[1:]:
        wrong = outdated()
        for path in wrong:
            sys.stderr.write(f"{path} is not what its .proto file says: python -m protos.generate\n")
        return 1 if wrong else 0
    generate(ROOT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
