# `make demo` and `make test` need python3 (3.11 or newer) and make; everything else they install into .venv.
PYTHON ?= python3
VENV := .venv
PEERS := .venv-bench
BIN := $(VENV)/bin
WORKERS := $(shell echo $$((2 * $$(nproc))))  # most of the slow tests wait for something
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-cache-dir --quiet

unexport PYTHONDONTWRITEBYTECODE  # else each of thousands of starts compiles what it imports

.PHONY: demo test check collected pytest debian schema docs bench dist clean help

help: ## Show what there is to make
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

demo: $(VENV)/runbook.stamp ## Install into .venv and heal six real faults in a scratch directory
	RUNBOOK_AGENT_DIR="$(CURDIR)/$(VENV)" $(BIN)/runbook apply quickstart

test: ## Install what the tests need, and run them all
	@$(MAKE) --no-print-directory -j2 debian $(VENV)/test.stamp
	@$(MAKE) --no-print-directory -j2 check collected
	@$(MAKE) --no-print-directory pytest

check: $(VENV)/test.stamp ## Format, lint, types, rooms, Python versions
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/vermin --quiet --no-tips --target=3.9- --violations --exclude tomllib --exclude str.decode modules

pytest: $(VENV)/test.stamp
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

collected: $(VENV)/test.stamp  # compiled once: without that each of the workers does it
	@$(BIN)/python -m pytest --collect-only -qq $(ARGS) >/dev/null || true  # the tests themselves will say what is wrong

debian: ## Install the Debian packages of the tests, where that is possible
	@sh tests/debian.sh

schema: $(VENV)/runbook.stamp ## Make schemas/ anew from the module classes
	for what in runbook signatures test drill inventory; do \
	    $(BIN)/runbook schema $$what > schemas/$$what.schema.json.new && \
	    mv schemas/$$what.schema.json.new schemas/$$what.schema.json || exit 1; \
	done
	$(BIN)/python -m runbook.engine.scan.analysed

docs: $(VENV)/docs.stamp ## Build the documentation into site/
	$(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/test.stamp $(PEERS)/bench.stamp ## Measure against real peers; figures go to bench/README.md by hand
	$(BIN)/python bench/run.py $(ARGS)

dist: $(VENV)/test.stamp ## Build the sdist, and the wheel from it
	$(BIN)/python -m build --outdir dist .

clean: ## Remove what was made
	rm -rf $(VENV) $(PEERS) dist site build .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "runbook needs Python 3.11 or newer; name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || { echo "this Python can't make a venv: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/runbook.stamp: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --editable .
	@$(BIN)/python -m compileall -q engine modules  # as pip does for what is not installed in place
	@touch $@

$(VENV)/test.stamp: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --editable '.[test,check]'
	@$(BIN)/python -m compileall -q engine modules
	@touch $@ $(VENV)/runbook.stamp

$(VENV)/docs.stamp: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --editable '.[docs]'
	@touch $@

$(PEERS)/bench.stamp: bench/requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check --quiet install -r bench/requirements.txt
	@touch $@
