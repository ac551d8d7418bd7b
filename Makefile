# Youju 邮局. `make help` says what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DIR ?=
export PYTHONDONTWRITEBYTECODE = 1

.DEFAULT_GOAL := help
.PHONY: help env env-dev run test lint format bench corpus torture fuzz screenshots docs locale lock clean

help:  ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/runtime: requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@touch $@

$(VENV)/development: requirements-dev.lock $(VENV)/runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.lock
	@touch $@

env: $(VENV)/runtime  ## build the environment (.venv) and nothing else

env-dev: $(VENV)/development  ## the same with what tests and linters need

run: env  ## everything from nothing: demo site benet.com, all servers, the web
	$(BIN)/python manage.py runmailserver --demo

test: env-dev  ## find or install what tests can use, then the whole suite
	tests/run $(ARGS)

lint: env-dev  ## ruff, mypy, the import law, migrations in step with models
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run

format: env-dev  ## lay the code out
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .

bench: env-dev  ## measure; one JSON line a figure
	$(BIN)/python bench/run.py $(ARGS)

corpus: env-dev  ## DIR=…: real messages through SMTP, IMAP, POP3 and the webmail, every octet compared
	@test -n "$(DIR)" || { echo "usage: make corpus DIR=directory-of-messages"; exit 2; }
	$(BIN)/python bench/corpus.py $(DIR) $(ARGS)

torture: env-dev  ## messages while processes are killed: nothing lost, nothing twice
	$(BIN)/python bench/torture.py $(ARGS)

fuzz: env-dev  ## hostile SMTP sessions against the session code; ARGS="--sessions N --seed N"
	$(BIN)/python bench/fuzz_smtp.py $(ARGS)

screenshots: env-dev  ## every page, narrow and wide, light and dark, into screenshots/; ARGS="--languages zh-hans,he"
	$(BIN)/python tests/screenshots.py $(ARGS)

docs: env  ## write docs/parameters.md from the registry
	$(BIN)/python manage.py parameters > docs/parameters.md

locale: env-dev  ## gather, merge and compile translations
	$(BIN)/python locale/messages.py

lock: env-dev  ## pin dependencies with hashes (needs uv)
	uv pip compile --universal --generate-hashes --no-emit-index-url --python-version 3.11 pyproject.toml --output-file requirements.lock
	uv pip compile --universal --generate-hashes --no-emit-index-url --python-version 3.11 pyproject.toml --group dev --output-file requirements-dev.lock

clean:  ## remove the environment and what tools left behind; mail in data/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis screenshots
	find . -name __pycache__ -prune -exec rm -rf {} +
