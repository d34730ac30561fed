"""CompressAI's own tools, run unmodified in subprocesses, against this package."""
