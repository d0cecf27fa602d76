# `make run` and `make test` need Python 3.11 or newer, git, make and pip; everything else they fetch themselves.

PYTHON ?= python3
NAME ?=
REVS ?=
REV ?= HEAD
JOBS ?= 1
ROWS ?= *
PHOTOGRAPHS ?=
HOST ?= 127.0.0.1
PORT ?= 8000
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := 1

.PHONY: help run test serve fuzz env preset check-data compare ablation experiments check-gpu lint deps clean-scratch

help:
	@echo 'make run                the whole pipeline on the current params.yaml, then the results table'
	@echo 'make test               all tests'
	@echo 'make serve              name pictures on a local page; PHOTOGRAPHS=folder searches it by words, PORT=8001 listens there'
	@echo 'make fuzz               the readers of what users have, on damaged files: 2,000 examples each'
	@echo 'make env                only the environment, in .venv'
	@echo 'make preset NAME=...    write the params.yaml of a preset: $(basename $(notdir $(wildcard presets/*.yaml)))'
	@echo 'make check-data         is the data there that params.yaml names, and what will a run cost?'
	@echo 'make compare            is it noise? this run against HEAD'"'"'s; REVS="before after" compares any two revisions'
	@echo 'make ablation NAME=...  change one line, see what it did: $(basename $(notdir $(wildcard ablations/*.yaml))); JOBS=n rows at a time, ROWS=pattern only some'
	@echo 'make experiments        the same table, of all that `dvc exp` has run from this commit, or from REV=...'
	@echo 'make check-gpu          what a GPU makes of the image side: checks and training speed, in results/gpu.md (10 minutes)'
	@echo 'make lint               ruff'
	@echo 'make deps               write every stage'"'"'s code dependencies into dvc.yaml (after changing an import)'
	@echo 'make clean-scratch      remove the checkpoints of runs that never finished'

run: env
	@python -m tools.check_params
	dvc repro
	@python -m tools.show_results

test: env .venv/serving
	dvc repro build_taxonomy
	python -m pytest -n auto --dist loadfile --no-loadscope-reorder

# By the environment and as they were given, here and below: a name may hold quotes and dollars.
serve: export SERVE_HOST := $(value HOST)
serve: export SERVE_PORT := $(value PORT)
serve: export SERVE_PHOTOGRAPHS := $(value PHOTOGRAPHS)
serve: env .venv/serving
	@python -m zeroshot serve --host="$$SERVE_HOST" --port="$$SERVE_PORT" \
	  $${SERVE_PHOTOGRAPHS:+--photographs="$$SERVE_PHOTOGRAPHS"}

fuzz: env
	HYPOTHESIS_PROFILE=fuzz FUZZ_EXAMPLES=2000 python -m pytest tests/test_fuzz*.py

env: .venv/installed

# Debian's Python has no ensurepip of its own; any pip can then fill the environment from outside.
BASE = $$($(PYTHON) -c 'import sys; print(sys._base_executable)')
PIP = base=$(BASE) || exit 1; \
  if [ -x .venv/bin/pip ]; then set -- .venv/bin/python -m pip; else set -- "$$base" -m pip --python .venv/bin/python; fi; "$$@"

.venv/installed: requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; set PYTHON=")'
	@base=$(BASE) || exit 1; \
	  if "$$base" -c 'import ensurepip' 2>/dev/null; then "$$base" -m venv .venv; else "$$base" -m venv --without-pip .venv; fi
	@$(PIP) install --quiet --disable-pip-version-check -r requirements.txt -c constraints.txt
	@touch .venv/installed

# What only the local page uses: not for `make run`.
.venv/serving: .venv/installed requirements-serve.txt
	@$(PIP) install --quiet --disable-pip-version-check -r requirements-serve.txt -c constraints.txt
	@touch .venv/serving

preset ablation: export GIVEN_NAME := $(value NAME)
preset: env
	@python -m tools.preset "$$GIVEN_NAME"

check-data: env
	python -m tools.check_data

compare: env
	@python -m tools.compare $(REVS)

ablation: export GIVEN_ROWS := $(value ROWS)
ablation: env
	@python -m tools.ablation "$$GIVEN_NAME" --jobs '$(JOBS)' --rows "$$GIVEN_ROWS"

experiments: export GIVEN_REV := $(value REV)
experiments: env
	@python -m tools.experiments "$$GIVEN_REV"

# Without `env`: a machine with a GPU may have a Python of its own, with its own torch, and no network.
check-gpu:
	@$(PYTHON) -m tools.check_gpu

lint: env
	ruff check .

deps: env
	python -m tools.stage_deps --write

clean-scratch: env
	@python -m tools.clean_scratch
