PYTHON ?= python3.11

# Folders of original images: give either or both to bench and report.
KODAK ?=
CLIC ?=
# A number of images of each set: quick, and kept apart from the results on all of them.
IMAGES ?=
# Such as lpips, which is much faster than all of them.
METRICS ?=
# Photographs for baselines, folders or WebDataset tars: to train on, and others to validate on.
DATA ?=
VALIDATION ?=
# Folder of what baselines trains and bench compares with.
RUNS ?= $(if $(IMAGES),out/quick-runs,runs)
# Images that bench measures side by side; each takes about 8 GB where they have 3 megapixels.
JOBS ?= 1

# Runs a command in .venv, which is made first if need be.
RUN = $(PYTHON) -c "import sys; from benchmarks.environment import run_in_environment as run; \
	sys.exit(run(*sys.argv[1:]))"
QUICK = --results out/quick --streams out/quick/streams -o out/quick/report

# Refining a picture of 3 megapixels takes minutes at each quality.
ifeq ($(IMAGES),)
SOME = --qualities mao2024-vqgan-lite-refined=1,5,9
else
SOME = --qualities mao2024-vqgan-lite-refined=5
endif
UNFINETUNED = $(RUNS)/unfinetuned.safetensors
MODELS = --models "$(RUNS)/baselines"
OURS_BEFORE = --unfinetuned "$(or $(COMPRESSAI_VQ_UNFINETUNED),$(UNFINETUNED))"
COMPARE = $(RUN) -m benchmarks.compare --jobs $(JOBS) $(MODELS) $(OURS_BEFORE) \
	$(if $(IMAGES),--images $(IMAGES)) $(if $(METRICS),--metrics $(METRICS))

# With IMAGES, a few steps of small batches: only to see that everything runs.
RETRAIN = $(RUN) -m benchmarks.train_baselines
FEW_STEPS = $(if $(IMAGES),--steps 120 --batch 2)
TRAIN = $(RUN) -m compressai_vq.cli train
PRETRAIN_QUICK = --config benchmarks/train_baselines/quick-pretrain.toml

.PHONY: demo test lint report baselines bench

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
		$(MODELS) $(OURS_BEFORE) $(if $(IMAGES),$(QUICK))

# Trains what bench compares with and the package does not ship, hours on one CPU: Cheng2020 and
# HiFiC at our rates, and our codec before fine-tuning. Goes on where it was interrupted.
baselines:
	@test -n "$(DATA)" -a -n "$(VALIDATION)" || \
		{ echo 'make baselines DATA="SHARD ..." VALIDATION=SHARD [IMAGES=4]' >&2; exit 2; }
	$(RETRAIN) cheng2020 --data $(DATA) --runs "$(RUNS)/baselines" $(FEW_STEPS)
	$(RETRAIN) hific --data $(DATA) --runs "$(RUNS)/baselines" $(FEW_STEPS)
	$(RETRAIN).keep --runs "$(RUNS)/baselines" $(if $(IMAGES),-o out/quick/baselines.json)
	$(TRAIN) pretrain --data $(DATA) --validation $(VALIDATION) --runs "$(RUNS)" \
		$(if $(IMAGES),$(PRETRAIN_QUICK))
	$(TRAIN) cluster --data $(DATA) --runs "$(RUNS)"
	$(TRAIN) export --force --of cluster --data $(if $(IMAGES),$(VALIDATION),$(DATA)) \
		--runs "$(RUNS)" -o "$(UNFINETUNED)"

# Measures what out/rows does not have yet of every codec, then makes the report.
bench:
	@test -n "$(KODAK)$(CLIC)" || \
		{ echo "make bench KODAK=DIR [CLIC=DIR] [IMAGES=4] [METRICS=lpips] [JOBS=2]" >&2; exit 2; }
	$(if $(KODAK),$(COMPARE) --dataset "kodak=$(KODAK)" $(if $(IMAGES),$(SOME)))
	$(if $(CLIC),$(COMPARE) --dataset "clic2025-8=$(CLIC)" $(SOME))
	$(if $(KODAK),$(if $(IMAGES),,$(RUN) -m benchmarks.times $(MODELS) --dataset "kodak=$(KODAK)"))
	$(if $(CLIC),$(if $(IMAGES),,$(RUN) -m benchmarks.times $(MODELS) --dataset "clic2025-8=$(CLIC)"))
	$(MAKE) report
