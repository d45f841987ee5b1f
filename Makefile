# Two commands need nothing before them: `make demo` and `make test`.
# The environment is made once; a stamp keeps later runs from installing anything again.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
DEMO_STAMP := $(VENV)/.demo-installed
DEV_STAMP := $(VENV)/.dev-installed
PEER_VERSION := 0.1.3
PEER_VENV := .venv-rlms
PEER_STAMP := $(PEER_VENV)/.rlms-$(PEER_VERSION)-installed

.PHONY: bench demo test lint format notebook clean

demo: $(DEMO_STAMP)
	$(BIN)/python notebooks/first_run.py

test: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 3 $(ARGS)

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV_STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

notebook: $(DEV_STAMP)
	$(BIN)/jupyter lab notebooks/01_first_run.ipynb

# Compiled first, as pip does when it installs: a box cannot keep what it compiles.
bench: $(DEV_STAMP) $(PEER_STAMP)
	$(BIN)/python -m compileall -q rlm_kernel rlm_magic
	$(BIN)/python -m tests.benchmarks --peer $(PEER_VENV)/bin/python $(ARGS)

clean:
	rm -rf $(VENV)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "rlm-kernel needs Python 3.11 or newer; none was found." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make a virtual environment. On Debian: apt install python3-venv" >&2; exit 1; }

$(DEMO_STAMP): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[local]'
	$(BIN)/rlm models install smollm2
	@touch $@

$(DEV_STAMP): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(BIN)/rlm models install smollm2
	@touch $@

$(PEER_STAMP): | $(BIN)/python
	@$(PYTHON) -m venv --clear $(PEER_VENV)
	$(PEER_VENV)/bin/python -m pip install --quiet --disable-pip-version-check 'rlms[ipython]==$(PEER_VERSION)'
	@touch $@
