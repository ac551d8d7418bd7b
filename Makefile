# Youju 邮局. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DIR ?=
STYLES := $(wildcard static/styles/*/*.css)
SCRIPTS := $(wildcard static/*.js static/*/*.js)
CSS := $(BIN)/css-beautify -s 2 -n
JS := $(BIN)/js-beautify -s 2 -w 120 -n
export PYTHONDONTWRITEBYTECODE = 1

.DEFAULT_GOAL := help
.PHONY: help env env-dev run test lint format bench corpus torture fuzz screenshots docs locale lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/runtime: requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@touch $@

$(VENV)/development: requirements-dev.lock $(VENV)/runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.lock
	@touch $@

env: $(VENV)/runtime  ## create the runtime environment (.venv)

env-dev: $(VENV)/development  ## create the development environment: runtime, tests, linters

run: env  ## start the demo site benet.com from nothing: all servers and the web
	$(BIN)/python manage.py runmailserver --demo

test: env-dev  ## find or install test services, then run the whole suite
	tests/run $(ARGS)

lint: env-dev  ## check the code, templates, styles and scripts: ruff, bandit, mypy, import-linter, formatters
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/djangofmt --check --quiet templates
	@for file in $(STYLES); do $(CSS) $$file | cmp - $$file || exit 1; done
	@for file in $(SCRIPTS); do $(JS) $$file | cmp - $$file || exit 1; done
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive mailcore webmail mailadmin manage.py
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run --skip-checks

format: env-dev  ## format the code, templates, CSS and JavaScript
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .
	$(BIN)/djangofmt --quiet templates
	@for file in $(STYLES); do $(CSS) -r $$file >/dev/null; done
	@for file in $(SCRIPTS); do $(JS) -r $$file >/dev/null; done

bench: env-dev  ## run the benchmarks; one JSON line per figure
	$(BIN)/python bench/run.py $(ARGS)

corpus: env-dev  ## DIR=…: send real messages through SMTP, IMAP, POP3 and the webmail; compare every byte
	@test -n "$(DIR)" || { echo "usage: make corpus DIR=directory-of-messages"; exit 2; }
	$(BIN)/python bench/corpus.py $(DIR) $(ARGS)

torture: env-dev  ## kill processes under load; check that no message is lost or duplicated
	$(BIN)/python bench/torture.py $(ARGS)

fuzz: env-dev  ## run hostile SMTP sessions against the session code; ARGS="--sessions N --seed N"
	$(BIN)/python bench/fuzz_smtp.py $(ARGS)

screenshots: env-dev  ## save every page, narrow and wide, light and dark, in screenshots/; ARGS="--languages zh-hans,he"
	$(BIN)/python tests/screenshots.py $(ARGS)

docs: env-dev  ## write docs/parameters.md and build the manuals in site/
	$(BIN)/python manage.py parameters > docs/parameters.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --clean --config-file docs/manual/mkdocs.yml

locale: env-dev  ## extract, merge and compile translations
	$(BIN)/python locale/messages.py

lock: env-dev  ## pin dependencies with hashes (needs uv)
	uv pip compile --universal --generate-hashes --no-emit-index-url --python-version 3.11 pyproject.toml --output-file requirements.lock
	uv pip compile --universal --generate-hashes --no-emit-index-url --python-version 3.11 pyproject.toml --group dev --output-file requirements-dev.lock

clean:  ## remove the environment and tool caches; mail in data/ is kept
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis screenshots site
	find . -name __pycache__ -prune -exec rm -rf {} +
