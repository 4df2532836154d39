# `make test` is the one command; the others are for those who work on the code.
PYTHON ?= python3
VENV := .venv-test
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
TESTS := -n 2 --dist loadgroup

SOAK_S ?= 120

.PHONY: test test-all coverage soak style bench bench-inputs lock clean help

help: ## Show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(STAMP): requirements/test.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/test.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $(STAMP)

test: $(STAMP) ## Make an environment of its own and run the tests (minutes)
	$(BIN)/python -m pytest $(TESTS) -m "not slow"

test-all: $(STAMP) ## Run the slow tests as well, and start each `tek` anew instead of as a fork of a warm one
	TEST_COLD=1 $(BIN)/python -m pytest $(TESTS)

coverage: $(STAMP) ## Run the tests and count the lines and branches that they reach (half as long again)
	$(BIN)/python -m pytest $(TESTS) -m "not slow" --cov --cov-report=term:skip-covered --cov-fail-under=90

soak: $(STAMP) ## Random faults at a steady load, for SOAK_S seconds (120; try 3600)
	TEK_SOAK_S=$(SOAK_S) $(BIN)/python -m pytest -s tests/chaos/test_soak.py

style: $(STAMP) ## Check types, style and layers
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## Measure, beside the floor of this machine, and write benchmarks/README.md's table
	$(BIN)/python benchmarks/run.py

bench-inputs: $(STAMP) ## Measure what reading plans costs, and write the second table of benchmarks/README.md
	$(BIN)/python benchmarks/inputs.py

lock: $(STAMP) ## Write the lock file anew from pyproject.toml
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/python -m piptools compile --quiet --strip-extras --generate-hashes --no-emit-index-url \
	  --no-emit-trusted-host --no-emit-find-links --no-header --all-extras --output-file requirements/test.lock pyproject.toml

clean: ## Remove what the others made
	rm -rf $(VENV) build dist *.egg-info .coverage* .pytest_cache .mypy_cache .ruff_cache
