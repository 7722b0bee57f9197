# Everything sets itself up. Needs: Python >= 3.11 and make; Node and a Chromium only for the browser tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
NB ?= flow
ARGS ?=
ONLY ?=
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 4 ? n : 4)))

.DEFAULT_GOAL := help
.PHONY: help book test lint pairs run paper bench stress gpu verify serve pdf clean

help:  ## list these commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(READY): pyproject.toml constraints.txt hashes.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; try make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@echo "installing kflow and its tools into $(VENV) (some minutes the first time)"
	@$(PIP) --no-deps --require-hashes -r hashes.txt
	@$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@

node_modules/.ready: package.json package-lock.json
	@npm ci --no-audit --no-fund --loglevel=error && touch $@

book: $(READY)  ## run the notebooks that changed (make JOBS=1 book: one after the other), build _build/html
	@$(BIN)/python book/builder.py -j $(JOBS) $(ARGS)

test: $(READY)  ## check the library, the notebooks, the site, on all cores
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory node_modules/.ready; fi
	-@$(BIN)/python book/builder.py -j $(JOBS)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(READY)  ## check style, types, the direction of imports, pairs of notebooks and spelling
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/python book/pairs.py --check
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mypy
	@$(BIN)/codespell

pairs: $(READY)  ## write notebooks/*.ipynb from their sources
	@$(BIN)/python book/pairs.py

run: $(READY)  ## run one notebook: make run NB=flow ARGS="-p layers 200"
	@$(BIN)/python -m kflow run $(NB) $(ARGS)

# Large blocks in huge pages that the C library keeps: without it reading the errors spends half its time on page faults.
MALLOC := glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4000000000:glibc.malloc.trim_threshold=8000000000:glibc.malloc.arena_max=1
paper: $(READY)  ## make the runs at the paper's scale, resumable: make paper ONLY=mnist
	@GLIBC_TUNABLES=$(MALLOC) $(BIN)/python -m kflow.paper $(ONLY) $(ARGS)

bench: $(READY)  ## measure the time of a layer, the machine and the peers (some idle minutes)
	@$(BIN)/python -m pip show --quiet pykeops 2>/dev/null || \
		$(PIP) -c constraints.txt -e '.[bench]' || \
		echo "KeOps could not be installed, and is left out"
	@$(BIN)/python -m tests.bench $(ARGS)

stress: $(READY)  ## try to break it: hostile inputs and files, faults, long runs (hours): ARGS="inputs --seconds 600"
	@$(BIN)/python -m tests.stress $(ARGS)

SECONDS ?= 480
gpu: $(READY)  ## one visit to a GPU: its tests, then the runs that SECONDS=480 allow, in _build/gpu
	@$(BIN)/python -m kflow.paper day --device cuda --seconds $(SECONDS) $(ARGS)

verify: $(READY)  ## make the figures again and compare their numbers with the published ones
	@$(BIN)/python -m kflow verify -j $(JOBS) $(ARGS)

serve: $(READY)  ## show the book and build it again whenever a source changes
	@$(BIN)/python book/serve.py $(ARGS)

pdf: $(READY) node_modules/.ready  ## print the whole book into _build/kernel-flows.pdf (needs a Chromium)
	@$(BIN)/python book/pdf.py $(ARGS)

clean:  ## remove what make has built (not the environment)
	rm -rf _build kflow-output .pytest_cache .ruff_cache .hypothesis
