# Crema's commands. The first one that needs it makes .venv from uv.lock; nothing outside this folder changes.

.DEFAULT_GOAL := help
SHELL := /bin/sh
export UV_SYSTEM_CERTS := 1
export UV_NATIVE_TLS := 1
export UV_PROJECT_ENVIRONMENT := .venv
PYTHON ?= python3
# Without bytecode every start of a server compiles the libraries anew, for seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test fuzz kills bench attack docker-test check format documents clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# uv from PATH, or one of our own in .uv; asked for again only when the lock changes.
.venv/.installed: uv.lock pyproject.toml
	@uv=$$(command -v uv || true); \
	if [ -z "$$uv" ]; then \
	  [ -x .uv/bin/uv ] || { $(PYTHON) -m venv .uv && .uv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'; } || exit 1; \
	  uv=.uv/bin/uv; \
	fi; \
	"$$uv" sync --quiet --locked --extra embedded --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
	@touch $@

run: .venv/.installed ## Start Crema with a demo chain; Swagger at http://127.0.0.1:8000/docs
	@exec .venv/bin/crema serve

test: .venv/.installed ## Run the whole suite
	@.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

fuzz: .venv/.installed ## Schemathesis over every operation, long: as a customer and as an administrator
	@CREMA_FUZZ_EXAMPLES=20 .venv/bin/python -m pytest tests/test_fuzz.py

kills: .venv/.installed ## 5,000 chat messages through 4 processes, 6 of which are killed
	@CREMA_KILLS_MESSAGES=5000 .venv/bin/python -m pytest tests/live/test_kills.py

bench: .venv/.installed ## What things cost, beside peers; QUICK=1 for a first look, PROFILE=large for much data
	@PYTHONPATH=tests .venv/bin/python benchmarks/run.py

attack: .venv/.installed ## sqlmap over every parameter and JSON field, long; needs sqlmap. SMOKE=--smoke for one list
	@PYTHONPATH=tests .venv/bin/python tools/attack.py $(SMOKE)

docker-test: .venv/.installed ## The stack of compose.yaml on a Docker engine; CREMA_TEST_IMAGES=crema-test without a registry
	@.venv/bin/python -m pytest -v -rP -p no:randomly deploy/test_compose.py

check: .venv/.installed ## Format, lint, types, import rules, documents up to date, no break of the API unless entered
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache > .import-linter.log || { cat .import-linter.log; exit 1; }
	@rm -f .import-linter.log
	@.venv/bin/python tools/documents.py --check
	@.venv/bin/python tools/breaking_changes.py
	@.venv/bin/python tools/common_passwords.py --check

format: .venv/.installed ## Format the code
	@.venv/bin/ruff format --quiet .
	@.venv/bin/ruff check --quiet --fix .

documents: .venv/.installed ## Renew what documents copy from the code
	@.venv/bin/python tools/documents.py

clean: ## Remove the environment and the demo data
	rm -rf .venv .uv .crema
