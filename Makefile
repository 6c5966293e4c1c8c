# Each command does all of its own set-up: a .venv with uv inside it, and everything that requirements.lock names.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help demo test check bench soak lock clean

help:  ## these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-7s %s\n", $$1, $$2}' Makefile

demo: .venv/.installed  ## the main job on simulated providers: sync, measure, score, route
	@$(BIN)/scorehouse demo

test: .venv/.installed  ## the tests
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not soak and not alone" --durations=20
	@$(BIN)/python -m pytest -m "alone and not soak"

check: .venv/.installed  ## lint, types, import floors, SQL
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/sqlfluff lint sql --disable-progress-bar

bench: .venv/.installed  ## the benchmarks: routing latency, accuracy of the measurement
	@$(BIN)/python benchmarks/routing.py
	@$(BIN)/python benchmarks/measure_accuracy.py

soak: .venv/.installed  ## the long counts: millions of inputs, thousands of kills and flipped bits
	@$(BIN)/python -m pytest -m soak
	@$(BIN)/python -m tests.wire.fuzz --inputs 1000000 --seed 20261121
	@$(BIN)/python -m tests.routing.fuzz --queries 1000000 --seed 1
	@$(BIN)/python -m tests.faults.kills --kills 200
	@$(BIN)/python -m tests.faults.kills --kills 1000 --store supabase

lock: .venv/bin/uv  ## resolve requirements.lock anew (uv.lock holds addresses and is not kept)
	@$(BIN)/uv export -q --no-annotate --no-header --no-emit-project --all-groups --all-extras -o requirements.lock
	@rm -f uv.lock

clean:  ## remove the environment and caches
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/bin/uv:
	@echo "Making .venv ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check uv

.venv/.installed: requirements.lock pyproject.toml | .venv/bin/uv
	@echo "Installing what requirements.lock names ..."
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install -q --require-hashes -r requirements.lock
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install -q --no-deps --no-build-isolation -e .
	@touch $@
