# Everything a newcomer types. Each target sets up what it needs first; nothing is installed outside this folder.
.DEFAULT_GOAL := help
PYTHON ?= python3
UV_VERSION := 0.13.8
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
ifeq ($(OS),Windows_NT)
$(error On Windows use `uv run server.py demo` and `uv run pytest`)
endif
RUN := .venv/bin/python
export UV_COMPILE_BYTECODE := 1

.PHONY: help setup demo test test-slow lint format lock surface docs world bench all

help: ## What there is to type
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 14

setup: .venv/.ready ## uv (into .uv if the machine has none) and the environment from the locked versions

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.ready: requirements/dev.txt $(if $(findstring .uv/,$(UV)),.uv/bin/uv)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	$(UV) pip sync --quiet --python $(RUN) --require-hashes requirements/dev.txt
	@touch $@

demo: setup ## Ask the real server something in every domain, over STDIO
	@$(RUN) server.py demo

test: setup ## The test suite, without network, in under three minutes
	$(RUN) -m pytest -m "not slow"

test-slow: setup ## What takes longer: soaks, races, fuzzers
	$(RUN) -m pytest -m slow

lint: setup ## ruff and mypy --strict
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy .

format: setup ## Put imports and layout in order
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

lock: setup ## Pin the newest versions that pyproject.toml allows, with hashes and without a host's name
	$(UV) pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" pyproject.toml -o requirements/run.txt
	$(UV) pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" --constraints requirements/run.txt \
	  --group pyproject.toml:dev pyproject.toml -o requirements/dev.txt
	$(UV) pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate --no-deps \
	  --custom-compile-command "make lock" --group pyproject.toml:data -o requirements/data.txt
