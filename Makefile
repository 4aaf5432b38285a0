# Every command sets up what it needs in .venv, so that a fresh machine with Python, venv and make is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# More than there are processors: many tests wait for other programs, or for real time to pass.
WORKERS ?= 4
# Else each worker, and each program that a test starts, compiles all that it imports again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test coverage packages servers stores pages docs check record bench soak clean

demo: $(READY)
	$(BIN)/realtime-sip demo

test: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) --ignore tests/laws

# The same tests, at half the speed.
coverage: $(READY)
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n $(WORKERS) --ignore tests/laws
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --fail-under=92

packages: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) -m packages

servers: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) -m servers

# On Redis and PostgreSQL of this machine; where one is missing they are skipped, with that reason.
stores: $(READY)
	$(BIN)/python -m pytest -n 2 -m stores

# The site, in build/site, from docs/ and the docstrings, and in Portuguese in build/site/pt. No problem is let pass.
docs: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	$(BIN)/zensical build --strict -f mkdocs.yml
	$(BIN)/zensical build --strict -f mkdocs.pt.yml
	$(BIN)/python docs/mermaid.py build/site
	$(BIN)/python docs/llms.py build/site

# In Chromium; without one they are skipped, with that reason.
pages: docs
	$(BIN)/python -m pytest -n 2 -m pages

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -q tests/laws

# The cassettes again: from the emulator, and, with OPENAI_API_KEY set, what needs no call from the service itself.
record: $(READY)
	$(BIN)/python tests/record_cassettes.py
	$(BIN)/python -m pytest -q -m live tests/test_cassettes.py

bench: $(READY)
	status=0; for row in parse imports webhooks accepts calls unread; do $(BIN)/python bench/$$row.py || status=1; done; exit $$status

soak: $(READY)
	$(BIN)/python bench/soak.py
	$(BIN)/python bench/orders.py
	FLEET_CALLS=300 FLEET_TIMED=1 $(BIN)/python -m pytest -rP -m stores tests/stores/test_workers.py

clean:
	rm -rf $(VENV) build dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
