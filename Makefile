# `make demo` and `make test` work on a fresh machine; the other targets are for developers.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: dist docs-site demo test test-dialects lint format coverage bench chaos docs screenshots mutants test-graph-sdk clean help

help:
	@echo "make demo      show every platform on the embedded broker"
	@echo "make test      run all tests"
	@echo "make lint      check style, types and the generated pages"
	@echo "make format    format the code and apply the automatic fixes"
	@echo "make coverage  run all tests, fail if they cover too few lines"
	@echo "make chaos     send 4,000 commands while processes are killed; needs mosquitto, minutes"
	@echo "make bench     measure, as ratios to a bare MQTT client (needs mosquitto)"
	@echo "make docs      write the generated pages and pictures"
	@echo "make docs-site build the documentation site in build/site"
	@echo "make screenshots  take the pictures of the browser pages (needs chromium)"
	@echo "make mutants   check that the tests detect changed code in the state machine (30 minutes)"
	@echo "make test-dialects  test the dialects with AWS and Azure programs (120 MB, fetched once)"
	@echo "make test-graph-sdk  test the Graph API with Microsoft's Python SDK (475 MB, fetched once)"
	@echo "make dist      build both distributions, check and run them"
	@echo "make clean     remove the environment, caches and build results"

demo: $(READY)
	@$(BIN)/passfleet demo

test: $(READY)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m fleet.reference.build --check

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The floor is `fail_under` under [tool.coverage.report] in pyproject.toml.
coverage: $(READY)
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered $(PYTEST_ARGS)

# Prints the ledger as JSON; fails if a command was lost or done twice.
chaos: $(READY)
	$(BIN)/python -m tests.support.chaos --commands 4000 --faults 70

bench: $(READY)
	$(BIN)/python bench/run.py
	$(BIN)/python bench/growth.py --svg docs/growth.svg

docs: $(READY)
	$(BIN)/python -m fleet.reference.build
	$(BIN)/python -m fleet.reference.cli_page docs/cli.md
	$(BIN)/passfleet demo --picture docs/demo.svg >/dev/null

screenshots: $(READY)
	$(BIN)/python docs/make_screenshots.py

# README.md is the home page; its links to docs/ become links between pages.
docs-site: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	rm -rf build/site-source
	mkdir -p build
	cp -r docs build/site-source
	sed -e 's#(docs/#(#g' -e 's#](\([A-Z][A-Z]*\.md\|deploy/\|examples/\)#](../\1#g' README.md > build/site-source/index.md
	$(BIN)/passfleet play --html build/site-source/library.html >/dev/null
	$(BIN)/mkdocs build --strict

dist: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dist]'
	deploy/check-dist.sh $(BIN)/python dist

# Prints how many mutants were killed (🎉) and survived (🙁), then the names of the survivors;
# `mutmut show NAME` shows one. Starts from nothing each time: a changed test may kill a mutant that
# survived before.
mutants: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[mutants]'
	rm -rf mutants
	$(BIN)/mutmut run
	$(BIN)/mutmut results

# The SDK has an environment of its own: it brings 475 MB with it.
test-graph-sdk: $(READY)
	tests/fleet/web/graph/sdk/run.sh $(BIN) .venv-graph-sdk

# The programs of others have an environment of their own: they need other versions of libraries.
test-dialects: $(READY)
	tests/broker/dialects/others/install.sh .venv-dialects
	$(BIN)/python -m pytest tests/broker/dialects/others $(PYTEST_ARGS)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "passfleet needs Python 3.11 or later; set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "the virtual environment could not be created; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .venv-graph-sdk .venv-dialects .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist \
		mutants *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
