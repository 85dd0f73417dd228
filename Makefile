# Two commands: `make demo` and `make test`. Everything else is a part of them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
DATA ?= ./data
DEMO_FLAGS ?=
WEB_SOURCES := $(shell find web -path web/node_modules -prune -o -path web/dist -prune -o -type f -print 2>/dev/null)

.PHONY: help demo build web test test-long faults bench bench-tracks screenshots lint install install-broker install-test clean

help: ## Lists the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

demo: install build ## Installs what is missing, builds, and starts a city of 200 vehicles under ./data
	@exec target/release/rideguard up --demo --data $(DATA) $(DEMO_FLAGS)

build: web/dist/index.html ## Builds the programs with the web page inside
	$(CARGO) build --release --locked --workspace

web: web/dist/index.html ## Builds the web page

web/node_modules: web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	@touch web/node_modules

web/dist/index.html: web/node_modules $(WEB_SOURCES)
	cd web && npm run build
	@touch web/dist/index.html

lint: web/node_modules ## Formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	scripts/deny
	scripts/check-compose
	cd web && npm run check

test: install-test web/dist/index.html tests/system/clients/node_modules lint ## Everything that protects a change; installs what it needs
	cd web && npm test
	$(CARGO) build --locked --workspace
	scripts/check-openapi target/debug/rideguard
	scripts/browser-test target/debug/rideguard
	scripts/cargo-test default

test-long: install-test web/dist/index.html ## Two minutes of random questions to the API, and the many-kills kind
	$(CARGO) build --locked --workspace
	scripts/attack-api target/debug/rideguard
	scripts/cargo-test long

faults: ## Prints what was injected, lost, counted twice and made up in the last runs of the tests of faults
	@scripts/faults

bench: install-broker build ## Prints the figures as lines `name: value unit`
	scripts/bench

bench-tracks: install-broker build ## The figures of tracks over 50 million fixes; an hour, and 15 GB below TMPDIR
	RIDEGUARD_BENCH_VEHICLES=20000 RIDEGUARD_BENCH_DAYS=3 RIDEGUARD_BENCH_COLD=20 $(CARGO) bench --locked --bench tracks

screenshots: install-test web/dist/index.html ## Takes the pictures of docs/web; seven minutes
	$(CARGO) build --locked --workspace
	scripts/screenshots target/debug/rideguard

install:
	@scripts/install run

install-broker:
	@scripts/install run broker

install-test:
	@scripts/install run broker test

# MQTT.js, for tests of the door.
tests/system/clients/node_modules: tests/system/clients/package-lock.json
	cd tests/system/clients && npm ci --no-audit --no-fund --ignore-scripts
	@touch tests/system/clients/node_modules

clean: ## Removes what was built; keeps ./data
	$(CARGO) clean
	rm -rf web/dist web/node_modules tests/system/clients/node_modules
