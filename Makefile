# Everything a newcomer types. Each target sets up what it needs first; nothing is installed outside this folder.
.DEFAULT_GOAL := help
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
ifeq ($(OS),Windows_NT)
$(error On Windows use `uv run server.py demo` and `uv run pytest`)
endif
RUN := .venv/bin/python
# Bytecode: without it every start compiles everything anew, 2.2 times as long. Certificates: the machine's own,
# as pip uses them, so that a company's proxy works.
export UV_COMPILE_BYTECODE := 1
export UV_SYSTEM_CERTS := 1

.PHONY: help setup demo test test-slow lint format lock surface docs docs-check world world-check bench image bundle checkers

help: ## What there is to type
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 14

setup: .venv/.ready ## uv (into .uv if the machine has none) and the environment from the locked versions

.uv/bin/uv: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Almanac needs Python 3.11 or newer; $(PYTHON) is older. Name another: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .uv || \
	  { echo "This Python cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	.uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

.venv/.ready: requirements/dev.txt $(if $(findstring .uv/,$(UV)),.uv/bin/uv)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	$(UV) pip sync --quiet --python $(RUN) --require-hashes requirements/dev.txt
	@touch $@

demo: setup ## Ask the real server something in every domain, over STDIO
	@$(RUN) server.py demo

test: setup ## The test suite, without network, in under three minutes
	$(RUN) -m pytest -m "not slow" -n auto --dist loadgroup

test-slow: setup ## What takes longer: soaks, races, fuzzers
	$(RUN) -m pytest -m slow

lint: setup ## ruff and mypy --strict
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy .

format: setup ## Put imports and layout in order
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

surface: setup ## Rewrite the snapshots of the tools, resources and prompts after a wanted change
	ALMANAC_WRITE_SURFACE=1 $(RUN) -m pytest tests/surface

docs: setup ## Write docs/tools.md, docs/configuration.md, .env.example and README's table from the server
	$(RUN) -m docs.generate

docs-check: setup ## Are the generated files what the server says?
	$(RUN) -m docs.generate --check

world: .venv-data/.ready ## Build data/world.db anew
	.venv-data/bin/python data/build_world.py

world-check: .venv-data/.ready ## Build data/world.db anew elsewhere and compare it byte for byte
	.venv-data/bin/python data/build_world.py --check

.venv-data/.ready: requirements/data.txt .venv/.ready
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv-data
	$(UV) pip install --quiet --python .venv-data/bin/python --no-deps --require-hashes -r requirements/data.txt
	@touch $@

bench: .venv-peers/.ready ## The same work on Almanac, its peers and the floor, as ratios (ONLY="stdio http", SHORT=1)
	$(RUN) -m benchmarks --peers .venv-peers/bin/python $(if $(SHORT),--short) $(ONLY)

.venv-peers/.ready: requirements/peers.txt benchmarks/peers/package.json .venv/.ready
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv-peers
	$(UV) pip install --quiet --python .venv-peers/bin/python --require-hashes -r requirements/peers.txt
	cp benchmarks/peers/package.json .venv-peers/
	@command -v npm >/dev/null || echo "There is no npm: what runs on Node will not be compared"
	! command -v npm >/dev/null || \
	  npm install --prefix .venv-peers --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# The docker command may be there without its engine. The format is the one that keeps the health check.
ENGINE ?= $(shell for each in docker podman buildah; do $$each info >/dev/null 2>&1 && echo $$each && break; done)
image: ## Build the container image `almanac` by docker, podman or buildah, whichever works here
	@[ -n "$(ENGINE)" ] || { echo "This takes docker, podman or buildah, and none of them works here."; \
	  echo "On Debian and Ubuntu: apt-get install podman. Elsewhere: https://docs.docker.com/engine/install"; exit 1; }
	BUILDAH_FORMAT=docker $(ENGINE) build --tag $(IMAGE) $(if $(BASE),--build-arg BASE=$(BASE)) \
	  --build-arg VERSION=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) \
	  --build-arg REVISION=$$(git describe --always --dirty 2>/dev/null || echo unknown) \
	  --label io.modelcontextprotocol.server.name=$$(sed -n 's/^  "name": "\(.*\)",/\1/p' server.json) $(IMAGE_FLAGS) .
IMAGE ?= almanac

bundle: setup ## Build dist/almanac.mcpb for Claude Desktop, and dist/server.json for the MCP registry
	@$(RUN) bundle/build.py

checkers: .venv-checkers/.ready ## What the tests of Dockerfile, deploy/ and the bundle check with; Node's need npm

.venv-checkers/.ready: requirements/checkers.txt tests/deploy/package.json .venv/.ready
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv-checkers
	$(UV) pip sync --quiet --python .venv-checkers/bin/python --require-hashes requirements/checkers.txt
	cp tests/deploy/package.json .venv-checkers/
	@command -v npm >/dev/null || echo "There is no npm: the bundle and the Inspector's commands will not be tried"
	! command -v npm >/dev/null || \
	  npm install --prefix .venv-checkers --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

PIN := $(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate \
  --custom-compile-command "make lock"

lock: setup ## Pin the newest versions that pyproject.toml allows, with hashes and without a host's name
	$(PIN) --upgrade pyproject.toml -o requirements/run.txt
	$(PIN) --upgrade --constraints requirements/run.txt --group pyproject.toml:dev pyproject.toml -o requirements/dev.txt
	$(PIN) --upgrade --no-deps --group pyproject.toml:data -o requirements/data.txt
	$(PIN) --upgrade requirements/peers.in -o requirements/peers.txt
	$(PIN) --upgrade requirements/checkers.in -o requirements/checkers.txt
	echo uv | $(PIN) --upgrade - -o requirements/uv.txt
