# dance2music. `make` alone lists what there is; everything is installed into .venv, nothing outside this folder.
#
#   make demo PYTHON=python3.12     choose the interpreter (3.10 to 3.13)
#   make demo TORCH="torch==2.9.1"  choose the PyTorch: any arguments that pip install takes
#   make test ARGS="-k rhythm"      arguments for pytest
#   make bench BENCH="codec live"    some of the benchmarks (names: python benchmarks/table.py --help)
#   make test-wheel ARGS="--python 3.12 03"   one version of Python, one chapter
#   PIP_EXTRA_INDEX_URL             pip's own variable: with the address of PyTorch's CPU wheels in it, Linux is
#                                   spared several GB of CUDA libraries (README, "Install")

VENV    := .venv
BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip --disable-pip-version-check -q
LIMITS  := $(VENV)/constraints.txt
OUT     := out.mp4
BENCH   :=
# 3.11 first: the versions in constraints.txt were tested on it
PYTHONS := $(if $(PYTHON),$(PYTHON),python3.11 python3.12 python3.13 python3.10 python3)
FITS    := import sys, venv, ensurepip; sys.exit(not (3,10) <= sys.version_info[:2] <= (3,13))

.PHONY: help demo test test-wheel bench numbers dev clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    install into .venv, then give the shipped dance clip new music: $(OUT)"
	@echo "make test    install what tests need, then run every test and every notebook"
	@echo "make bench   measure everything in under half an hour, then every target in one table, pass or fail"
	@echo "make numbers write measured numbers into README, model cards and docs/targets.md"
	@echo "make test-wheel  run each notebook in an empty folder against the built wheel, as in Colab, on Python 3.11 and 3.12"
	@echo "make dev     install everything: jupyterlab, the web app, downloads, training"
	@echo "make clean   remove .venv, $(OUT), caches and build folders"

demo: $(VENV)/.plain
	$(BIN)/dance2music demo -o $(OUT)

test: $(VENV)/.test
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest $(ARGS)

bench: $(VENV)/.test
	$(BIN)/python benchmarks/table.py --run $(BENCH) $(ARGS)

numbers: $(VENV)/.plain
	$(BIN)/python tools/readme_numbers.py $(ARGS)

test-wheel: $(VENV)/.test
	$(BIN)/python tools/test_wheel.py $(ARGS)

dev: $(VENV)/.dev
	@echo "Ready. The chapters: $(BIN)/jupyter lab nbs"

# Each step below leaves an empty file behind, so that a second call finds it done.

$(VENV)/.python:
	@if [ ! -e $(VENV) ]; then \
	  found=; for p in $(PYTHONS); do if $$p -c '$(FITS)' >/dev/null 2>&1; then found=$$p; break; fi; done; \
	  if [ -z "$$found" ]; then \
	    echo "No Python 3.10 to 3.13 with the venv module (Debian: python3-venv) among: $(PYTHONS). Name yours: make PYTHON=/path/to/python $(MAKECMDGOALS)" >&2; exit 1; fi; \
	  echo "1/3 Making $(VENV) with $$($$found --version)"; \
	  $$found -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; \
	fi
	@$(BIN)/python -c '$(FITS)' >/dev/null 2>&1 && $(PIP) --version >/dev/null 2>&1 || \
	  { echo "$(VENV) holds no Python 3.10 to 3.13 with pip; 'make clean' removes it, then try again" >&2; exit 1; }
	@touch $@

$(VENV)/.torch: constraints.txt | $(VENV)/.python
	@$(if $(TORCH),sed -e '/^torch==/d' -e '/^sympy==/d' -e '/^networkx==/d',cat) constraints.txt > $(LIMITS)
	@if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1 && \
	    [ -z "$(TORCH)$$PIP_EXTRA_INDEX_URL$$PIP_INDEX_URL$$PIP_FIND_LINKS" ] && ! $(BIN)/python -c 'import torch' 2>/dev/null; then \
	  echo "    No NVIDIA GPU seen. PyTorch for Linux brings several GB for one; README, \"Install\", says how to get the CPU build."; fi
	@echo "2/3 Installing PyTorch"
	@$(PIP) install $(if $(TORCH),$(TORCH),-c $(LIMITS) torch)
	@touch $@

$(VENV)/.plain: settings.ini setup.py $(VENV)/.torch
	@echo "3/3 Installing dance2music and its libraries (a minute or two)"
	@$(PIP) install -c $(LIMITS) -e .
	@touch $@

$(VENV)/.test: settings.ini setup.py $(VENV)/.torch
	@echo "3/3 Installing dance2music, its libraries and what the tests need (a minute or two)"
	@$(PIP) install -c $(LIMITS) -e '.[test]'
	@for c in test export clean; do ln -sf nbdev-$$c $(BIN)/nbdev_$$c; done
	@touch $(VENV)/.plain $@

$(VENV)/.dev: settings.ini setup.py $(VENV)/.torch
	@echo "3/3 Installing dance2music with everything around it (some minutes)"
	@$(PIP) install -c $(LIMITS) -e '.[dev]'
	@for c in test export clean; do ln -sf nbdev-$$c $(BIN)/nbdev_$$c; done
	@touch $(VENV)/.plain $(VENV)/.test $@

clean:
	rm -rf $(VENV) $(OUT) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find dance2music nbs tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
