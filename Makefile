PYTHON ?= python3.11

.PHONY: demo test lint

demo:
	$(PYTHON) -m benchmarks

test:
	$(PYTHON) -m tests

lint:
	$(PYTHON) -m tests --lint
