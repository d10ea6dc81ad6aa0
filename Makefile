# Every task of the project. `make` alone lists them.
# One release build serves demo, serve, check, install and the tests: same flags, same objects.

SHELL := /bin/bash
PREFIX ?= /usr/local
DESTDIR ?=
# Extra flags for every build and test, for example SWIFTFLAGS='-j 2' on a small machine.
SWIFTFLAGS ?=
DEMO_HOME ?= $(CURDIR)/.demo-home

BUILD = swift build -c release --explicit-target-dependency-import-check error $(SWIFTFLAGS)
TEST = swift test -c release --disable-testable-imports --explicit-target-dependency-import-check error $(SWIFTFLAGS)
# Tiers of their own: see test-long and test-clients.
APART = (Long|Clients)Tests\.
# Tests of the platform wait for processes and sockets, which tests that compute on every core would starve.
WAITING = (Platform|Server)Tests\.
# Whole programs are waited for with a thread each, which the tests of the platform need.
WHOLE = ProcessTests\.

# Warnings are errors on the compiler that the project is developed with; another compiler's new warnings are not.
ifneq (,$(findstring Swift version 6.3,$(shell swift --version 2>/dev/null)))
export MARTLET_WARNINGS_AS_ERRORS = 1
endif

.PHONY: help setup build demo serve test test-long test-clients check bench docs install uninstall clean
.DEFAULT_GOAL := help

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Check the machine; bring system packages, libtorch and the Swift packages
	@scripts/setup

build: setup ## Build martlet and martlet-engine in release mode
	$(BUILD)

demo: build ## Train a CNN on 60,000 images, deploy it and ask it over HTTP
	@DEMO_HOME='$(DEMO_HOME)' scripts/demo

serve: build ## Serve the demo's home at http://127.0.0.1:8080
	@.build/release/martlet --home '$(DEMO_HOME)' stop > /dev/null 2>&1 || true
	.build/release/martlet --home '$(DEMO_HOME)' serve

test: setup ## Run the tests (some minutes)
	$(TEST) --skip '$(APART)|$(WAITING)|$(WHOLE)'
	$(TEST) --filter '$(WAITING)'
	$(TEST) --filter '$(WHOLE)'

test-long: setup ## Run the long tests: kills, faults, soak
	MARTLET_TEST_LONG=1 $(TEST) --filter 'LongTests\.|TokenizerGoldenTests|TokenizerLinearTests'

test-clients: build ## Run real clients (tritonclient, openai, curl) against a real server
	@scripts/test-clients

check: setup ## Format, forbidden words, pins, target imports, warnings as errors
	@scripts/check
	$(BUILD) --build-tests

bench: build ## Measure against PyTorch and FastAPI, interleaved
	@Benchmarks/setup
	@.deps/bench-venv/bin/python Benchmarks/run $(BENCH)

docs: ## Check that every link and command in the documents leads somewhere
	@scripts/check-docs

install: build ## Install under PREFIX (default /usr/local)
	@scripts/install install '$(DESTDIR)' '$(PREFIX)'

uninstall: ## Remove what install put under PREFIX
	@scripts/install uninstall '$(DESTDIR)' '$(PREFIX)'

clean: ## Remove what was built; libtorch and the demo's home stay
	rm -rf .build Package.resolved
