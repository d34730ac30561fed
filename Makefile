PYTHON ?= python3.11

# Folders of original images: give either or both to bench and report.
KODAK ?=
CLIC ?=
# A number of images of each set: quick, and kept apart from the results on all of them.
IMAGES ?=
# Images that bench measures side by side; each takes about 8 GB where they have 3 megapixels.
JOBS ?= 1

# Runs a command in .venv, which is made first if need be.
RUN = $(PYTHON) -c "import sys; from benchmarks.environment import run_in_environment as run; \
	sys.exit(run(*sys.argv[1:]))"
QUICK = --results out/quick -o out/quick/report

# Refining a picture of 3 megapixels takes minutes at each quality.
SOME = --qualities mao2024-vqgan-lite-refined=1,5,9
COMPARE = $(RUN) -m benchmarks.compare --jobs $(JOBS) $(if $(IMAGES),--images $(IMAGES))

.PHONY: demo test lint report bench

demo:
	$(PYTHON) -m benchmarks

test:
	$(PYTHON) -m tests

lint:
	$(PYTHON) -m tests --lint

# Stored results to out/report/report.html, and to plots and tables beside the results.
report:
	$(RUN) -m benchmarks.report \
		$(if $(KODAK),--pictures "kodak=$(KODAK)") $(if $(CLIC),--pictures "clic2025-8=$(CLIC)") \
		$(if $(IMAGES),$(QUICK))

# Measures every codec anew, goes on where it was interrupted, then makes the report.
bench:
	@test -n "$(KODAK)$(CLIC)" || \
		{ echo "make bench KODAK=folder [CLIC=folder] [IMAGES=4] [JOBS=2]" >&2; exit 2; }
	$(if $(KODAK),$(COMPARE) --dataset "kodak=$(KODAK)" $(if $(IMAGES),$(SOME)))
	$(if $(CLIC),$(COMPARE) --dataset "clic2025-8=$(CLIC)" $(SOME))
	$(if $(KODAK),$(if $(IMAGES),,$(RUN) -m benchmarks.times --dataset "kodak=$(KODAK)"))
	$(if $(CLIC),$(if $(IMAGES),,$(RUN) -m benchmarks.times --dataset "clic2025-8=$(CLIC)"))
	$(MAKE) report
