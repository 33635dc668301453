# Everything that a developer does. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
# Tests wait about as much as they compute, so that two cores have time for four.
TESTERS ?= 4

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types bench docs format clean mutate

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Install everything into .venv (needs Python 3.11 or later and pip)

$(STAMP): pyproject.toml uv.lock hatch_build.py src/remit/surfaces/web/assets/package-lock.json
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.8"
	$(BIN)/uv sync --quiet --frozen --active --python $(BIN)/python
	@touch $@

demo: setup ## Run the example company; STORY=refund-desk|meeting-notes|daily-priorities picks one story
	$(BIN)/python examples/acme/demo.py $(if $(STORY),--story $(STORY))

test: setup ## Run all checks and tests (gets a Chromium for the cockpit's, if there is none)
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tests/browser.py
	$(BIN)/pytest -n $(TESTERS)

format: setup ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup ## Check style, types and layers only
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

mutate: setup ## Drop one check of the product at a time and see that tests notice (twenty minutes)
	$(BIN)/python -m tests.mutations

bench: setup ## Measure, each figure beside its baseline; writes bench/results/latest.json
	$(BIN)/python -m bench

docs: setup ## Regenerate the reference from the code
	$(BIN)/python docs/generate.py

clean: ## Remove what setup and tests made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis examples/*/.remit
