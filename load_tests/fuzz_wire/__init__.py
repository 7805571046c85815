"""A fuzzer of the wire transport's connection: ``python -m load_tests.fuzz_wire --seconds 600``."""
