# Everything starts here, from a machine that has Python 3.13 and make. `make help` lists the targets.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help environment run up test test-deployment check static bench lock clean
MAKEFLAGS += --no-print-directory
unexport PYTHONPATH PYTHONHOME

VENV := .venv
PY := $(VENV)/bin/python
LOCKED := requirements.txt requirements-dev.txt

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-16s %s\n", $$1, $$2}' Makefile

run: environment ## a device's whole life in the sandbox, as a timeline; STORY=factory: 500 devices from a factory
	@$(PY) -m sandbox run $(STORY)

up: environment ## start the sandbox and keep it until Ctrl-C; prints READY and what to paste
	@$(PY) -m sandbox up

test: environment ## all tests; every branch of core and flows must have been taken
	@rm -f .coverage .coverage.*
	@$(PY) -m tests.halves
	@$(PY) -m coverage combine --quiet
	@$(PY) -m coverage report --fail-under=100

test-deployment: environment ## the longer tests: setup and smoke commands, queries, what documents say to run
	@$(PY) -m tests.pinned
	@$(PY) -m pytest tests/setup tests/smoke tests/monitor tests/docs

check: static test ## format, lint, types and floors, then all tests

static: environment ## the part of check that runs nothing
	@$(PY) -m ruff format --check
	@$(PY) -m ruff check
	@$(PY) -m mypy
	@$(PY) $(VENV)/bin/lint-imports --no-logo

bench: environment ## measure, print a table, keep it in .bench/
	@$(PY) -m benchmarks

LOCK := -m piptools compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --annotation-style=line
lock: environment ## requirements*.in -> requirements*.txt, pinned with hashes
	@$(PY) $(LOCK) --output-file=requirements.txt requirements.in
	@$(PY) $(LOCK) --output-file=requirements-dev.txt requirements-dev.in
	@$(PY) $(LOCK) --output-file=infra/checkov.txt infra/checkov.in

clean: ## remove all that make has made, the environment included
	@rm -rf $(VENV) .venv-checkov .sandbox .bench .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment is made again only when what it was made from (the locked requirements, and this folder: scripts
# hold its path) differs from what `.complete` holds. That file is written last, so an interrupted installation is
# repaired by starting over.
MADE_FROM := { echo "$(CURDIR)"; cat $(LOCKED); }

environment:
	@if ! [ -x $(PY) ] || ! $(MADE_FROM) | cmp -s - $(VENV)/.complete; then \
		$(FIND_PYTHON); \
		echo "Installing the pinned packages into $(VENV) with $$python: once, about a minute …"; \
		"$$python" -m venv --clear $(VENV) || exit 1; \
		PIP_USER=0 $(PY) -m pip install --quiet --disable-pip-version-check --no-input --require-hashes \
			$(LOCKED:%=-r %) > $(VENV)/install.log 2>&1 \
			|| { cat $(VENV)/install.log >&2; echo "The packages could not be installed; see above." >&2; exit 1; }; \
		$(PY) -m sandbox.azurite || exit 1; \
		$(MADE_FROM) > $(VENV)/.complete; \
	fi

# A name on PATH may be a pyenv shim that cannot run, or another version: each candidate is asked. What is not on PATH
# may lie where pyenv, uv, Homebrew, a distribution or a build machine puts it.
ELSEWHERE := "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.13*/bin/python3.13 \
	$$(eval echo "~$$(id -un 2>/dev/null)")/.pyenv/versions/3.13*/bin/python3.13 \
	"$$HOME"/.local/share/uv/python/cpython-3.13*/bin/python3.13
SYSTEM := /usr/local/bin/python3.13 /usr/bin/python3.13 /opt/homebrew/bin/python3.13 \
	/opt/python*/bin/python3.13 /opt/*/3.13*/bin/python3.13 /opt/*/*/3.13*/*/bin/python3.13
FIND_PYTHON = python=; \
	for candidate in $(PYTHON) python3.13 python3 python $(ELSEWHERE) $(SYSTEM); do \
		if "$$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null; \
		then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "Python 3.13 with the venv module was not found: install it, or name it: make PYTHON=/path/to/python3.13" >&2; \
		exit 1; \
	fi
