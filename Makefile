# Everything here works on a fresh clone. Only Python 3.13 must be there (python3.13, pyenv or uv).
.DEFAULT_GOAL := help
SHELL := /bin/bash
PORT ?= 7071
REGIONS ?= 1
ENV ?= dev
DRAIN_MINUTES ?= 15
PY := .venv/bin/python
READY := .venv/.ready
NODE := node_modules/.ready

.PHONY: help run test check contract host store faults key override lock schema bench bench-routing bench-store infra what-if deploy clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.txt requirements-dev.txt
	@python=$$(bash .ci/find-python) || exit 1; echo "setting up .venv with $$python"; $$python -m venv --clear .venv
	@$(PY) -m pip install --disable-pip-version-check -qq --require-hashes --only-binary :all: -r requirements.txt -r requirements-dev.txt
	@touch $@

$(NODE): package.json package-lock.json
	@command -v npm >/dev/null || { echo "Node 20 or newer was not found: Azurite, the Table Storage emulator, runs on it" >&2; exit 1; }
	@npm ci --silent --no-audit --no-fund && touch $@

run: $(READY) $(if $(filter-out 1,$(REGIONS)),$(NODE))  ## the app on http://127.0.0.1:PORT with simulated models (PORT=7071 REGIONS=1)
	@exec $(PY) -m local.run --port $(PORT) --regions $(REGIONS)

test: check contract host store  ## everything that must pass before a change lands

check: $(READY)  ## lint, types, floors, unit and property tests: a minute and a half
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy && .venv/bin/lint-imports --no-cache
	@$(PY) -m pytest tests/unit tests/property tests/balance tests/infra

contract: $(READY)  ## the real SDKs and wire formats over loopback sockets
	@$(PY) -m pytest tests/contract

host: $(READY)  ## the app in the real Functions runtime, and `make run` as a user sees it
	@$(PY) -m pytest tests/host

store: $(READY) $(NODE)  ## the shared memory on Azurite, several processes and regions
	@$(PY) -m pytest tests/store

faults: $(READY) $(NODE)  ## the long rows of the fault matrix: kills, outages, many processes
	@$(PY) -m pytest tests/faults

key: $(READY)  ## a new caller key: NAME=frontend
	@$(PY) -m local.key "$(NAME)"

override: $(READY)  ## an operator's order: ORDER="set eastus-gpt-5.1 --drain --for 2h --reason ..." or list, lift
	@$(PY) -m local.override $(ORDER)

bench: $(READY)  ## what the router costs beside a bare relay, as ratios in one run
	@$(PY) -m bench.relay

infra: $(READY)  ## the templates: our checker, invariants, seeded faults, checkov, az's parser, `az bicep build` where it is
	@bash infra/check

what-if: $(READY)  ## what a deployment would change: ENV=dev
	@$(PY) -m local.deploy what-if --env $(ENV)

deploy: $(READY)  ## to Azure, region by region: ENV=dev DRY_RUN=1 ONLY=templates|REGION DRAIN_MINUTES=15
	@$(PY) -m local.deploy deploy --env $(ENV) --only "$(ONLY)" --drain-minutes $(DRAIN_MINUTES) $(if $(DRY_RUN),--dry-run)

bench-routing: $(READY)  ## routing quality in virtual time: eight rules, four scenarios; FULL=1: 21 and fourteen; TRACES=DIR
	@$(PY) -m bench.routing $(ARGS)

bench-store: $(READY) $(NODE)  ## what sharing costs: latency with the store away, calls, bytes
	@$(PY) -m bench.store

schema: $(READY)  ## write fleet.schema.json from the code
	@$(PY) -m local.schema

lock: $(READY)  ## pin everything in pyproject.toml, with hashes
	@bash .ci/lock

clean:  ## remove what the other targets made
	@rm -rf .venv .venv-infra node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
