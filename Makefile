# Every verb works as the first command on a fresh clone: it installs what is missing, into this folder only.
.DEFAULT_GOAL := help
SHELL := /bin/bash

GROUPS := --group runtime --group local --group test --group lint --group bench --group naive
READY := .venv/.ready
BIN := .venv/bin
# checkov and pip-audit, which need other versions of what the rest uses.
CHECKS_READY := .venv-checks/.ready
CHECKS_BIN := .venv-checks/bin
# The machine's own uv, or one of our own where there is none. A uv on PATH that can't run (a version manager's shim)
# is none.
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo .tools/bin/uv)
EXPLORE := --hypothesis-profile=explore
CODE := functions layers local bench tests

.PHONY: help demo test histories fuzz fuzzapi proof bench up down invoke campaign audit docs lint format lock build clean

help: ## show what there is
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

demo: $(READY) ## from nothing to a delivered, audited message, on this machine
	@$(BIN)/python -m local.demo

up: $(READY) ## deploy template.yaml to a local emulator, beside a CXone simulator
	@$(BIN)/python -m local.stack up

down: $(READY) ## stop what `make up` started
	@$(BIN)/python -m local.stack down

invoke: $(READY) ## hand EVENT=events/send_message/preview.json to its function, here or on STACK=…
	@$(if $(EVENT),,$(error give an event: make invoke EVENT=events/send_message/preview.json))
	@$(BIN)/python -m local.invoke "$(EVENT)" $(if $(STACK),--stack "$(STACK)")

# The text goes through the environment, where neither make nor a shell reads anything into its dollars and quotes.
campaign: export CAMPAIGN_TEXT := $(value TEXT)
campaign: $(READY) ## send to everybody in FILE=people.csv; TEXT='Hello {name}', STACK=…, YES=1
	@$(if $(FILE),,$(error give a file: make campaign FILE=people.csv TEXT='Hello {name}'))
	@$(BIN)/python -m local.campaign "$(FILE)" $(if $(STACK),--stack "$(STACK)") $(if $(filter 1,$(YES)),--yes) \
	  $(CAMPAIGN_FLAGS)

# So does the recipient, who is nobody's business: it stands in no process's arguments but make's own.
audit: export AUDIT_RECIPIENT := $(value RECIPIENT)
audit: $(READY) ## verify all of the ledger; OUT=folder exports it, or DAY=…, CAMPAIGN=…, TEMPLATE=…, RECIPIENT=… of it
	@$(BIN)/python -m local.audit $(if $(STACK),--stack "$(STACK)") $(if $(TABLE),--table "$(TABLE)") \
	  $(if $(DAY),--day "$(DAY)") $(if $(CAMPAIGN),--campaign "$(CAMPAIGN)") $(if $(TEMPLATE),--template "$(TEMPLATE)") \
	  $(if $(OUT),--out "$(OUT)") $(if $(NOTED),--noted "$(NOTED)") $(if $(AS_OF),--as-of "$(AS_OF)")

test: $(READY) ## all tests
	$(BIN)/pytest -n 3

histories: $(READY) ## 10,000 random histories of faults around a send
	HISTORIES=10000 $(BIN)/pytest $(EXPLORE) tests/unit/test_send_histories.py

fuzz: $(READY) ## 50,000 random and mutated requests to the webhook
	FUZZ=50000 $(BIN)/pytest $(EXPLORE) -s tests/unit/test_webhook_fuzz.py

proof: $(READY) histories fuzz ## senders and bulk workers killed, racing, paced, stopped and cold, at full size
	PROOF=1 $(BIN)/pytest $(EXPLORE) -s tests/integration/test_sender_processes.py tests/integration/test_bulk_processes.py

fuzzapi: $(READY) ## thousands of requests that docs/openapi.yaml allows or forbids; SECONDS=300
	FUZZ_SECONDS=$(or $(SECONDS),300) $(BIN)/pytest -s tests/e2e/test_fuzzing.py

bench: $(READY) ## the measurements, as a table, plots and bench/results/latest.json
	PYTHONPATH=layers/messaging:. $(BIN)/python -m bench $(BENCH_FLAGS)

docs: $(READY) ## the API's description in a browser, on 127.0.0.1; DOCS_PORT=8091
	@$(BIN)/python -m local.docs

lint: $(READY) $(CHECKS_READY) ## formatter, linter, types, import contracts, template, known vulnerabilities
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy functions layers local bench
	PYTHONPATH=layers/messaging:. $(BIN)/lint-imports --no-cache
	$(BIN)/cfn-lint template.yaml
	$(BIN)/sam validate --lint --region us-east-1
	$(CHECKS_BIN)/checkov --config-file .checkov.yaml --file template.yaml
	$(BIN)/python -m local.advisories $(CHECKS_BIN)/pip-audit requirements.lock layers/messaging/requirements.txt

format: $(READY) ## format the code and mend what the linter can
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

build: $(READY) ## what `sam deploy` uploads; ARCHITECTURE=arm64 (default) or x86_64
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/sam build

lock: $(READY) ## lock the dependencies, for this project and for the layer; UPGRADE=1 takes newer versions
	$(BIN)/uv pip compile $(LOCK_FLAGS) pyproject.toml $(GROUPS) --output-file requirements.lock
	$(BIN)/uv pip compile $(LOCK_FLAGS) pyproject.toml --constraint requirements.lock \
	  --output-file layers/messaging/requirements.txt
	$(BIN)/uv pip compile $(LOCK_FLAGS) --group checks --output-file requirements-checks.lock

LOCK_FLAGS := --quiet $(if $(UPGRADE),--upgrade) --universal --python-version 3.13 --generate-hashes --no-header --no-annotate

clean: ## remove everything that was installed or built here
	rm -rf .venv .venv-checks .tools .local .aws-sam .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(READY): requirements.lock | $(filter .tools/%,$(UV))
	@echo "installing the tools into .venv"
	@$(UV) venv --quiet --allow-existing --python 3.13 .venv
	@$(UV) pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python requirements.lock
	@touch $@

$(CHECKS_READY): requirements-checks.lock | $(READY)
	@echo "installing checkov and pip-audit into .venv-checks"
	@$(UV) venv --quiet --allow-existing --python 3.13 .venv-checks
	@$(UV) pip sync --quiet --compile-bytecode --require-hashes --python $(CHECKS_BIN)/python requirements-checks.lock
	@touch $@

.tools/bin/uv:
	@echo "installing uv into .tools"
	@(python3.13 -m venv .tools 2>/dev/null || python3 -m venv .tools)
	@.tools/bin/pip install --quiet --disable-pip-version-check uv
