# Two commands matter: `make demo` and `make test`. Each makes what it needs.

.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export UV_COMPILE_BYTECODE := 1

# uv, from the path or from a small environment of its own when absent; empty where it cannot be had.
UV_HOME := .uv
UV = $(shell command -v uv 2>/dev/null || { test -x $(UV_HOME)/bin/uv && echo $(UV_HOME)/bin/uv; })

# Python 3.12 is preferred (3.11 holds several dependencies back); then newer ones, then the python3 at hand.
PYTHON = $(shell for p in python3.12 "$$HOME"/.pyenv/versions/3.12*/bin/python3.12 python3.13 python3.11 python3; do \
  "$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)

.PHONY: help install services demo test check format docs bench clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP)  ## make .venv with every extra

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "GeoMeld needs Python 3.11, 3.12 or 3.13; none was found on the path." >&2; exit 1; }
	@test -n "$(UV)" || { $(PYTHON) -m venv $(UV_HOME) && $(UV_HOME)/bin/python -m pip install --quiet uv; } \
	  || echo "uv could not be installed; going on with pip." >&2
	@$(MAKE) --no-print-directory environment

.PHONY: environment
environment:
ifneq ($(UV),)
	test -x $(BIN)/python || $(UV) venv --python "$(PYTHON)" $(VENV)
	$(UV) pip install --python $(BIN)/python --compile-bytecode --editable '.[all]'
else
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[all]'
	$(BIN)/python -m compileall -q $(VENV)/lib || true
endif
	@touch $(STAMP)

# Servers that some tests run against; where they cannot be had those tests are skipped, and say so.
SERVICES := postgresql-15 postgresql-15-postgis-3 nginx-light gdal-bin
services:  ## PostgreSQL with PostGIS, nginx and GDAL's programs, from Debian, as root
	@if dpkg -s $(SERVICES) >/dev/null 2>&1; then true; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(SERVICES) \
	    >/dev/null; } || echo "$(SERVICES) could not be installed: the tests that need them will be skipped." >&2; \
	else echo "The tests that need $(SERVICES) will be skipped: installing them takes root on Debian." >&2; fi

demo: $(STAMP)  ## the whole flow on the simulated Earth, to runs/demo/report.html
	$(BIN)/geomeld demo --out runs/demo

test: $(STAMP)  ## the whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadfile -q

check: $(STAMP)  ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)  ## format the code in place
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)  ## the documentation site, to site/
	$(BIN)/zensical build --clean

bench: $(STAMP)  ## every speed figure, side by side with its baseline
	for file in benchmarks/*.py; do $(BIN)/python $$file || exit 1; done

clean:  ## remove what was made, runs excepted
	rm -rf $(VENV) $(UV_HOME) site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
