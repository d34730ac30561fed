"""Measurements and demonstrations; ``python -m benchmarks`` sets up and runs the main one."""
