# `make demo` shows everything genrec does, `make test` checks it; each sets itself up.
#
#   PYTHON       the Python that makes the environment (3.11 or newer)
#   VENV         where that environment stands
#   TORCH_INDEX  where torch is taken from; empty: where pip takes everything from. On Linux that
#                is a build for CUDA (several GB); one without is a tenth of it:
#                make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
#   RUN          the folder that `make demo` fills

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
RUN ?= runs/demo

BIN := $(VENV)/bin
FOR_USE := $(VENV)/.ready-for-use
FOR_TESTS := $(VENV)/.ready-for-tests

.DEFAULT_GOAL := help
.PHONY: help demo test test-variants test-slow check clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(FOR_USE) ## From raw interactions to the comparison table, on MovieLens-100K
	$(BIN)/python -m genrec demo --out $(RUN)

test: check ## Everything that must pass before a change is merged
	$(BIN)/python -m pytest -m "not slow"

# Products of floats are summed in another order by other instructions and other threads; files, times
# and words depend on the user's settings; and a test may lean on the one before it.
test-variants: $(FOR_TESTS) ## The quick tests as on other machines: old processors, other settings
	umask 077 && env ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 OMP_NUM_THREADS=1 \
		TZ=Asia/Kolkata LC_ALL=C COLUMNS=40 \
		$(BIN)/python -m pytest -m "not slow" --random-order --random-order-seed=1
	env ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=2 TZ=America/St_Johns \
		$(BIN)/python -m pytest -m "not slow" --random-order --random-order-seed=2

test-slow: $(FOR_TESTS) ## The tests that take longer
	$(BIN)/python -m pytest -m slow

check: $(FOR_TESTS) ## Style, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

clean: ## Remove the environment and all caches; runs stay
	rm -rf $(VENV) build dist *.egg-info .*_cache .hypothesis
	find genrec tokenizer train serve tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(FOR_USE): pyproject.toml constraints.txt
	$(call install,.)
	@touch $@

$(FOR_TESTS): pyproject.toml constraints.txt
	$(call install,.[dev])
	@touch $@ $(FOR_USE)

define install
	@echo "==> setting up $(VENV); the first time this downloads torch and takes minutes"
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || \
		{ $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
			{ echo "genrec needs Python 3.11 or newer: make PYTHON=/path/to/python ..."; exit 1; }; \
		$(PYTHON) -m venv $(VENV); }
	$(if $(TORCH_INDEX),$(BIN)/python -m pip install --constraint constraints.txt \
		--index-url $(TORCH_INDEX) torch)
	$(BIN)/python -m pip install --constraint constraints.txt --editable '$(1)'
endef
