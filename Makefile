PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: venv bench test asv asv-versions lint

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[all,cluster,asv,test,lint]"
	touch $@

bench: venv
	$(BIN)/stiffgrad run --tier quick

test: venv
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

asv: venv
	$(BIN)/python -m suite.history save --tier $(or $(TIER),smoke)

asv-versions: venv
	$(BIN)/python -m suite.history save --tier $(or $(TIER),smoke) --stack all

lint: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
