# make demo and make test work on a fresh clone: each makes .venv first, and again whenever pyproject.toml or constraints.txt changes.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip
READY  := $(VENV)/.ready
DOCS   := $(VENV)/.ready-docs
# Each test trains on one thread; files go to two processes.
PARALLEL := -n 2 --dist loadfile

.PHONY: help setup demo test test-all check format docs clean

help:
	@echo "make demo      the main job on the bundled model, into runs/demo"
	@echo "make setup     .venv with saescope and what its development needs"
	@echo "make test      every test but the heavy ones"
	@echo "make test-all  every test"
	@echo "make check     format, lint, types, tests"
	@echo "make format    reformat"
	@echo "make docs      the documentation, in site/"
	@echo "make clean     remove what tools leave behind (not .venv)"

setup: $(READY)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "saescope needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) --version). Choose one: make setup PYTHON=python3.12"; exit 1; }
# Some systems ship venv without ensurepip: then pip comes from the system's pip.
	$(PYTHON) -m venv $(VENV) \
	  || { $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install pip; }

# torch on its own and first: the constraint keeps what comes after from replacing it.
$(READY): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt torch
	$(PIP) install -c constraints.txt -e '.[dev,plot]'
	@touch $@

$(DOCS): $(READY)
	$(PIP) install -c constraints.txt -e '.[docs]'
	@touch $@

demo: $(READY)
	$(BIN)/saescope run

test: $(READY)
	$(BIN)/python -m pytest $(PARALLEL) -m "not heavy"

test-all: $(READY)
	$(BIN)/python -m pytest $(PARALLEL)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(PARALLEL) -m "not heavy"

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(DOCS)
	$(BIN)/mkdocs build --strict

clean:
	rm -rf build dist site .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
