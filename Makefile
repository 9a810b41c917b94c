# `make` alone lists the targets. Every target sets up what it needs, and a second run of it is fast.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest
# More words for pytest: make test ARGS='-k pipe'
ARGS :=

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.stamp ## build a small leaking container, check it, explain what was found
	@.venv/bin/cranalyze demo $(ARGS)

test: .venv/.stamp ## run the whole suite (as root: all of it, else what a user may)
	@failed=; for half in unit slow live; do $(MAKE) --no-print-directory $$half || failed="$$failed $$half"; done; \
	    if [ -n "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi

# ARGS may choose of one part only: that nothing is left (5) is no failure.
unit: .venv/.stamp ## run the quick tests that need no live kernel, on all processors: seconds
	$(PYTEST) -n auto -m 'not live and not slow' $(ARGS) || [ $$? -eq 5 ]

slow: .venv/.stamp ## run the slow ones of them, and the property tests with more examples
	HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-ci} \
	    $(PYTEST) -n auto -m '(slow or hypothesis) and not live' $(ARGS) || [ $$? -eq 5 ]

live: .venv/.stamp ## run the tests that start real processes, one after the other: minutes
	$(PYTEST) -m live $(ARGS) || [ $$? -eq 5 ]

again: .venv/.stamp ## run once more what failed last
	$(PYTEST) --last-failed --last-failed-no-failures none $(ARGS) || [ $$? -eq 5 ]

test-lowest: .venv-lowest/.stamp ## run what needs no live kernel on the lowest supported versions
	.venv-lowest/bin/python -m pytest -n auto -m 'not live and not bpf' -p no:cacheprovider $(ARGS)

lint: .venv/.stamp ## ruff, mypy --strict, and shellcheck where it is installed
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	@if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh analyzer/sources/procdump.sh .ci/run; fi

format: .venv/.stamp ## let ruff rewrite what it can
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

docs: .venv/.stamp ## write docs/ and the man page from the code
	$(PYTHON) -m scripts.docs

notebooks: .venv/.stamp ## strip the notebooks, execute them, write docs/notebooks
	$(PYTHON) -m scripts.notebooks clean
	$(PYTHON) -m scripts.notebooks render

pictures: .venv/.stamp ## take the pictures of the README (needs chromium and chromedriver)
	$(PYTHON) -m scripts.pictures

bench: .venv/.stamp ## time cranalyze against lsof and lsfd; writes docs/benchmark.md
	$(PYTHON) -m benchmarks.run $(ARGS)

kernels: .venv/.stamp ## judge every fixture on other kernels in qemu; writes docs/kernels.md
	$(PYTHON) -m scripts.kernels --page docs/kernels.md $(ARGS)

vmcore: .venv/.stamp ## boot a kernel in qemu, dump its memory to ./vmcore, and check both
	$(PYTHON) -m scripts.kernels.core vmcore $(ARGS)
	CRANALYZE_VMCORE=vmcore $(PYTEST) -m 'not live' tests/unit/test_vmcore.py

setup: .venv/.stamp ## only make .venv

lock: ## rewrite locks/ with the newest versions that pyproject.toml allows (needs uv)
	scripts/lock.sh

clean: ## remove everything that these targets made
	rm -rf .venv .venv-lowest build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.stamp: locks/dev.txt pyproject.toml scripts/setup.sh
	@scripts/setup.sh .venv locks/dev.txt
	@touch $@

# 3.12 is the newest Python that the oldest supported numpy has wheels for.
.venv-lowest/.stamp: locks/lowest.txt pyproject.toml scripts/setup.sh
	@scripts/setup.sh .venv-lowest locks/lowest.txt 12
	@touch $@

.PHONY: help demo test unit slow live again test-lowest lint format docs notebooks pictures bench kernels vmcore setup lock clean
