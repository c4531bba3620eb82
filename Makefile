# Every verb works as the first command on a fresh clone: it installs what is missing, into this folder only.
.DEFAULT_GOAL := help

# No value that is given to make is read by make or by a shell, whatever stands in it. First, every variable of the command
# line becomes a text that make expands no more. Then only those that a program here reads go on, in its environment
# alone: no recipe names one of them (tests/security/test_no_make_variable_is_read_by_a_shell.py).
override GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
$(foreach name,$(GIVEN),$(eval override $(name) := $$(value $(name)))$(eval unexport $(name)))
override PASSED_ON := STACK TABLE DAY CAMPAIGN TEMPLATE OUT NOTED AS_OF RECIPIENT EVENT FILE TEXT YES CAMPAIGN_FLAGS \
  BENCH_FLAGS DOCS_PORT ARCHITECTURE MINISTACK_PORT SIMULATOR_PORT REQUIRE_AUDIT HISTORIES PROOF FUZZ TOKEN_STORE CXONE_% AWS_%
$(foreach name,$(filter $(PASSED_ON),$(GIVEN)),$(eval export $(name)))
# A make that a program here starts, as `sam build` does, gets none as a variable of its command line.
override MAKEOVERRIDES :=
override SHELL := /bin/bash
override .SHELLFLAGS := -c

# What the tools keep, caches and notes, is in this folder too, unless the environment names another place. A home folder
# may be read-only. `local/sam.py` has the same variables, for programs that are not started by make. Not by CURDIR: with
# make's option -e its value is the environment's, and make would expand it.
export XDG_CACHE_HOME ?= $(abspath .tools/cache)
export __SAM_CLI_APP_DIR ?= $(abspath .tools/sam)
export npm_config_cache ?= $(abspath .tools/cache/npm)
export PIP_CACHE_DIR ?= $(abspath .tools/cache/pip)
# Where the environment forbids compiled files, each of hundreds of processes would compile our code anew.
export override PYTHONDONTWRITEBYTECODE :=

override GROUPS := --group layer --group identity --group local --group test --group lint --group bench --group naive
override READY := .venv/.ready
override BIN := .venv/bin
# checkov and pip-audit, which need other versions of what the rest uses.
override CHECKS_READY := .venv-checks/.ready
override CHECKS_BIN := .venv-checks/bin
# The IAM evaluator that a test compares roles with. It needs npm; where there is none, that test is skipped.
override IAM := tests/security/iam
override IAM_READY := $(if $(shell command -v npm),$(IAM)/node_modules/.ready)
# The machine's own uv, or one of our own where there is none. A uv on PATH that can't run (a version manager's shim)
# is none.
override UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo .tools/bin/uv)
# Wheels only: to build a source distribution is to run its code. AWS publishes awslambdaric's wheels for Linux alone.
override WHEELS := --only-binary :all: $(if $(filter Darwin,$(shell uname)),--no-binary awslambdaric)
override SYNC := pip sync --quiet --compile-bytecode --require-hashes
# Says what it has found, and what it could not look up, on standard output; nothing where all is well or it broke off.
override AUDIT := $(CHECKS_BIN)/pip-audit --disable-pip --require-hashes --progress-spinner off \
  --requirement requirements.lock --requirement layers/messaging/requirements.txt \
  --requirement layers/identity/requirements.txt
override EXPLORE := --hypothesis-profile=explore
override CODE := functions layers cli local bench tests

.PHONY: help demo unit test histories fuzz fuzzapi proof bench up down invoke campaign audit docs lint format lock build package clean

help: ## show what there is
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

demo: $(READY) ## from nothing to a delivered, audited message, on this machine
	@$(BIN)/python -m local.demo

up: $(READY) ## deploy template.yaml to a local emulator, beside a CXone simulator
	@$(BIN)/python -m local.stack up

down: $(READY) ## stop what `make up` started
	@$(BIN)/python -m local.stack down

# Short for `.venv/bin/cxone-messaging invoke` and so on. They find their variables in the environment (local/verbs.py).
invoke: $(READY) ## hand EVENT=events/send_message/preview.json to its function, here or on STACK=…
	@$(BIN)/python -m local.verbs invoke

campaign: $(READY) ## send to everybody in FILE=people.csv; TEXT='Hello {name}', STACK=…, YES=1
	@$(BIN)/python -m local.verbs campaign

audit: $(READY) ## verify all of the ledger; OUT=folder exports it, or DAY=…, CAMPAIGN=…, TEMPLATE=…, RECIPIENT=… of it
	@$(BIN)/python -m local.verbs audit

unit: $(READY) ## the unit tests alone: no sockets, no emulator, under a minute
	$(BIN)/pytest -n 2 tests/unit

test: $(READY) $(IAM_READY) ## all tests, the slowest named at the end
	$(BIN)/pytest -n 3 --durations=15 --durations-min=1

histories: $(READY) ## 10,000 random histories of faults around a send, and as many in bulk
	HISTORIES=10000 $(BIN)/pytest $(EXPLORE) -n 2 tests/unit/test_send_histories.py tests/unit/test_bulk_histories.py \
	  tests/unit/test_dfo_histories.py tests/unit/test_dfo_stops.py

fuzz: $(READY) ## 50,000 random and mutated requests to the webhook
	FUZZ=50000 $(BIN)/pytest $(EXPLORE) -s tests/unit/test_webhook_fuzz.py

proof: $(READY) histories fuzz ## senders and bulk workers killed, frozen, racing, paced, stopped and cold, at full size
	PROOF=1 $(BIN)/pytest $(EXPLORE) -s tests/unit/test_collect.py tests/e2e/test_demo.py \
	  tests/integration/test_sender_processes.py \
	  tests/integration/test_bulk_processes.py tests/integration/test_frozen_processes.py

# SECONDS is a variable of the shell's own.
fuzzapi: export FUZZ_SECONDS := $(or $(value SECONDS),300)
fuzzapi: $(READY) ## thousands of requests that docs/openapi.yaml allows or forbids; SECONDS=300
	$(BIN)/pytest -s tests/e2e/test_fuzzing.py

bench: $(READY) ## the measurements, as a table, plots and bench/results/latest.json
	PYTHONPATH=layers/messaging:. $(BIN)/python -m local.verbs bench

docs: $(READY) ## the API's description in a browser, on 127.0.0.1; DOCS_PORT=8091
	@$(BIN)/python -m local.docs

lint: $(READY) $(CHECKS_READY) ## formatter, linter, types, import contracts, template, known vulnerabilities
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy functions layers cli local bench
	PYTHONPATH=layers/messaging:. $(BIN)/lint-imports --no-cache
	$(BIN)/cfn-lint template.yaml
	$(BIN)/sam validate --lint --region us-east-1
	$(CHECKS_BIN)/checkov --config-file .checkov.yaml --file template.yaml
	@if [[ "$$REQUIRE_AUDIT" == 1 ]]; then exec $(AUDIT) --strict; fi; \
	if found=$$($(AUDIT) 2>/dev/null); then missed="$$found"; elif [[ "$$found" ]]; then echo "$$found"; exit 1; else missed=all; fi; \
	[[ -z "$$missed" ]] || echo "NOT AUDITED for known vulnerabilities: PyPI's advisories are out of reach; REQUIRE_AUDIT=1 fails" >&2

format: $(READY) ## format the code and mend what the linter can
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

build: $(READY) ## what `sam deploy` uploads; ARCHITECTURE=arm64 (default) or x86_64
	@mkdir -p .tools/tmp  # SAM leaves folders behind
	@TMPDIR="$$PWD/.tools/tmp" PATH="$$PWD/$(BIN):$$PATH" $(BIN)/python -m local.verbs build

package: $(READY) ## a bundle in dist/ that deploys without Python and make; ARCHITECTURE=arm64 (default) or x86_64
	@PATH="$$PWD/$(BIN):$$PATH" $(BIN)/python -m local.verbs package

lock: $(READY) ## lock the dependencies, for this project and for the layer; UPGRADE=1 takes newer versions
	$(BIN)/uv pip compile $(LOCK_FLAGS) pyproject.toml $(GROUPS) --output-file requirements.lock
	$(BIN)/uv pip compile $(LOCK_FLAGS) --group layer --constraint requirements.lock \
	  --output-file layers/messaging/requirements.txt
	$(BIN)/uv pip compile $(LOCK_FLAGS) --group identity --constraint requirements.lock \
	  --output-file layers/identity/requirements.txt
	$(BIN)/uv pip compile $(LOCK_FLAGS) --group checks --output-file requirements-checks.lock
	$(BIN)/uv pip compile $(LOCK_FLAGS) --group installer --constraint requirements.lock --output-file requirements-uv.lock

override LOCK_FLAGS := --quiet $(if $(value UPGRADE),--upgrade) --universal --python-version 3.13 --generate-hashes --no-header --no-annotate

clean: ## remove everything that was installed or built here
	rm -rf .venv .venv-checks $(IAM)/node_modules .tools .local .aws-sam dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(READY): requirements.lock pyproject.toml | $(filter .tools/%,$(UV))
	@echo "installing the tools into .venv"
	@$(UV) venv --quiet --allow-existing --no-python-downloads --python 3.13 .venv 2>/dev/null || \
	  UV_PYTHON_INSTALL_DIR="$$PWD/.tools/python" $(UV) venv --quiet --allow-existing --python 3.13 .venv
	@$(UV) $(SYNC) $(WHEELS) --python $(BIN)/python requirements.lock
	@# The command line itself, from this folder; what builds it is in the lock file.
	@$(UV) pip install --quiet --no-deps --no-build-isolation --no-index --python $(BIN)/python --editable .
	@touch $@

$(CHECKS_READY): requirements-checks.lock | $(READY)
	@echo "installing checkov and pip-audit into .venv-checks"
	@$(UV) venv --quiet --allow-existing --python 3.13 .venv-checks
	@$(UV) $(SYNC) $(WHEELS) --python $(CHECKS_BIN)/python requirements-checks.lock
	@touch $@

$(IAM)/node_modules/.ready: $(IAM)/package-lock.json
	@echo "installing the IAM evaluator into $(IAM)"
	@npm ci --prefix $(IAM) --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

.tools/bin/uv: requirements-uv.lock
	@echo "installing uv into .tools"
	@(python3.13 -m venv .tools 2>/dev/null || python3 -m venv .tools)
	@.tools/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
	  --requirement requirements-uv.lock
	@touch $@
