"""What the metrics adapter costs: time per answer, through the API server and without, and memory.

python -m load_tests.adapter [--pods 10,1000,5000] [--undisturbed] [--json FILE]
"""
