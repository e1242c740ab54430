# One door: make demo, make test, make check.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# of a shell that sets it: every command of the tests would compile all modules anew
unexport PYTHONDONTWRITEBYTECODE
CODE := src tests benchmarks examples tools
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test check lint types docs bench mutants clean

help:  ## what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# torch first and by its pin, so that nothing pulls another build of it
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) torch
	$(PIP) --editable .
	@touch $@

$(VENV)/.developed: $(VENV)/.installed
	$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/.documented: $(VENV)/.developed
	$(PIP) --editable '.[docs]'
	@touch $@

demo: $(VENV)/.installed  ## learn the digits, two classes at a time, with FNC2 + HSD
	$(BIN)/holdfast run fnc2 --stream digits

test: $(VENV)/.developed  ## the whole suite, docs examples included
	$(BIN)/python -m pytest -n 2 --dist loadfile --ignore tests/test_laws.py
	$(BIN)/python -m pytest -n 2 --jaxtyping-packages= tests/test_laws.py  # long: types are checked above

check: lint types test docs  ## everything a change must pass

lint: $(VENV)/.developed  ## ruff, conflict markers, declared dependencies
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/python tools/conflict_markers.py
	$(BIN)/python tools/dependencies.py

types: $(VENV)/.developed  ## pyright
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/.documented  ## the site, into build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

mutants: $(VENV)/.developed  ## mutations that the tests let live; hours, and goes on where it stopped
	$(BIN)/python tools/mutants.py

bench: $(VENV)/.developed  ## every ratio of docs/performance.md, the engine's overhead, the cost of the views
	$(PIP) --editable '.[bench]'
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/augment.py
	for each in tiles temperature gaussians rules tasks table startup memory; do $(BIN)/python benchmarks/$$each.py || exit 1; done

clean:  ## remove the environment and what tests left
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
