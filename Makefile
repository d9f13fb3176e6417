# `make demo` and `make test` do all their own set-up on a fresh machine and are quick when repeated.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# make CPU=1 takes torch's build for processors alone, a tenth of the one with CUDA that PyPI has for Linux:
# from pip's own index where that has it, else from torch's (or CPU_INDEX=URL).
TORCH := torch==2.13.0
CPU_INDEX ?= https://download.pytorch.org/whl/cpu
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check

.PHONY: demo test test-studio test-wheel docs lint soak ladder benchmarks clean

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed: $(PYTHON) was not found"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; use make PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || { echo "1 of 3: a virtual environment in $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@# torch first and pinned: any other order lets a dependency choose a build with gigabytes of CUDA.
	@echo "2 of 3: torch, $(if $(CPU),about 0.2 GB for processors alone,on Linux 2 to 3 GB with CUDA (make CPU=1 takes 0.2 GB)); minutes, in silence"
	@$(if $(CPU),$(PIP) --no-deps $(TORCH)+cpu 2>/dev/null || $(PIP) --index-url $(CPU_INDEX) $(TORCH),$(PIP) $(TORCH))
	@echo "3 of 3: all other packages, about 2.5 GB on disk; minutes, in silence"
	@$(PIP) -e '.[dev]' -c constraints.txt
	@touch $(READY)

demo: $(READY)
	@$(BIN)/ganvas demo --out demo
	@echo "Now: source $(BIN)/activate, and \`ganvas\` is found; or write $(BIN)/ganvas"

test: $(READY)
	@# One process a core, one thread each: torch gains little from a second thread on the tests' tiny networks.
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m "not alone"
	@# Ray and NNCF may take the process that they run in with them: each of their files has one of its own.
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m alone

test-studio: $(READY)
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
		{ apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || \
		{ echo "Chromium is needed: install it, or name it by CHROMIUM=PATH"; exit 1; }
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests_browser

# The built wheel in an environment of its own, without the clone; the packages it needs are those of .venv.
test-wheel: $(READY)
	@$(BIN)/python scripts/test_wheel.py

docs: $(READY)
	@echo "The packages that build the site, some seconds"
	@$(PIP) -e '.[docs]' -c constraints.txt
	@$(BIN)/zensical build --strict
	@echo "build/site/index.html"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

soak: $(READY)
	$(BIN)/python scripts/soak.py

clean:
	rm -rf demo runs build dist .pytest_cache .ruff_cache
