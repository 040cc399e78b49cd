# Set-up, demonstration, tests. Needs Linux, Python 3.11 to 3.13 with venv, and a package index.
SHELL := /bin/sh
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo $$p; break; }; done)
PORT ?= 8765
BIN := .venv/bin
GATEWAY := $(BIN)/mobileid-gateway
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: demo test serve foreign interop day sabotage compliance bench lint check lock clean help

help: ## What can be made
	@grep -E '^[a-z]+:.*## ' Makefile | sed 's/:.*## /\t/'

demo: .venv/ready ## One walk, end to end: WALK=name (consent), TEXT=path, TAMPER=1, PORT=number
	@$(GATEWAY) demo --port $(PORT) $(if $(WALK),--walk "$(WALK)") $(if $(TEXT),--text "$(TEXT)") $(if $(TAMPER),--tamper)

serve: .venv/ready ## A sandbox that stays up: PORT=number
	@$(GATEWAY) sandbox serve --port $(PORT)

test: .venv/ready ## The whole suite, on a real Postgres
	@$(BIN)/python -m pytest $(ARGS)

foreign: .venv/ready ## Fresh evidence before judges that are not ours: xmlsec1, signxml, the JDK, EU DSS
	@$(BIN)/python tests/interop/foreign.py $(ARGS)

interop: .venv/ready ## Stock SOAP clients, and those that sign, against a live gateway
	@$(BIN)/python tests/interop/run.py $(ARGS)
	@$(BIN)/python tests/interop/callers.py $(ARGS)

day: .venv/ready ## A bank's day, 200 customers: each answer has its audit row, and each row its answer
	@$(BIN)/python tests/day/day.py $(ARGS)

sabotage: .venv/ready ## Remove each guard in turn; fails where the suite stays green
	@$(BIN)/python tests/sabotage/sabotage.py $(ARGS)

compliance: .venv/ready ## Each rule of the RTS: its tests, and each of its guards taken away; fails where one does not hold
	@$(BIN)/python tests/compliance/compliance.py $(ARGS)

bench: .venv/ready ## Side by side: us, the floor beneath us, and stock tools
	@$(BIN)/python tests/bench/bench.py $(ARGS)

lint: .venv/ready ## Style, types and the import rule alone
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

check:
	@test "$$(uname -s)" = Linux || { echo "This needs Linux: the embedded database runs there only."; exit 1; }
	@test -n "$(PYTHON)" || { echo "This needs Python 3.11, 3.12 or 3.13: install one, or name it with PYTHON=/path/to/python."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || \
		{ echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13: name one with PYTHON=/path/to/python."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "$(PYTHON) has no venv module: install it (Debian and Ubuntu: apt-get install python3-venv)."; exit 1; }

.venv/ready: requirements.lock requirements-build.lock setup.py | check
	@echo "Setting up .venv (about a minute, once) ..."
	@rm -rf .venv && $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-build.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-build-isolation -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

lock: ## Renew requirements.lock from setup.py (needs uv)
	@uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--no-header --quiet --all-extras setup.py -o requirements.lock
	@echo 'setuptools==84.2.1\nwheel==0.48.0' | uv pip compile --generate-hashes --no-emit-index-url --no-annotate \
		--no-header --quiet - -o requirements-build.lock

clean: ## Remove what was set up and made
	@rm -rf .venv var build dist *.egg-info
