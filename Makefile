# Two commands for a fresh machine: `make demo` and `make test`. All else is for developers.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint bench docs mutants clean help

help:
	@echo "make demo   the tour: every platform on the embedded broker"
	@echo "make test   the whole suite"
	@echo "make lint   ruff and mypy"
	@echo "make bench  measurements, as ratios (needs mosquitto)"
	@echo "make docs   the generated pages"
	@echo "make mutants  whether the tests notice when the state machine is wrong (half an hour)"
	@echo "make clean  remove what these made"

demo: $(READY)
	@$(BIN)/passfleet demo

test: $(READY)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m fleet.reference.build --check

bench: $(READY)
	$(BIN)/python bench/run.py
	$(BIN)/python bench/growth.py --svg docs/growth.svg

docs: $(READY)
	$(BIN)/python -m fleet.reference.build
	$(BIN)/passfleet demo --picture docs/demo.svg >/dev/null

# Prints how many mutants were killed (🎉) and survived (🙁), then the survivors' names; `mutmut show
# NAME` shows one. Starts anew each time, since a test that changed may kill what survived.
mutants: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[mutants]'
	rm -rf mutants
	$(BIN)/mutmut run
	$(BIN)/mutmut results

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "passfleet needs Python 3.11 or later; set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "no virtual environment could be made; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build mutants *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
