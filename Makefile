# Every target says what it does: `make` lists them.
.DEFAULT_GOAL := help
SHELL := bash
GO ?= go
BENCHTIME ?= 1s
TESTS ?= ./...
ROUNDS ?= 30
SEED ?= 1
BUS ?= kfake

.PHONY: help demo build profile browser test test-at test-moments check fmt vet fuzz bench storm tamper test-kafka test-clients test-outside test-bare dist test-dist reproducible rehearse licences vulnerabilities protocols tools clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: ## start everything, play real exchanges, stay up for a look (Ctrl-C ends it)
	$(GO) run ./cmd/mezhved demo $(DEMO)

# By which profile the gateway is compiled: what is called most is put into its callers.
# It is no default.pgo, because "go run", "go test" and "make demo" would compile
# everything twice for it. What runs inside of package crypto is left out: with their
# callees put into them, sha256.Sum256 and its like keep their state on the heap.
PROFILE := cmd/mezhved/load.pgo
build: browser ## build bin/mezhved and bin/mezhved-audit
	$(GO) build -trimpath -pgo $(PROFILE) -o bin/ ./cmd/mezhved
	$(GO) build -trimpath -o bin/ ./cmd/mezhved-audit

profile: ## measure again what a gateway does under load, by which make build and make dist compile it (on a machine that does nothing else)
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && set -e && $(GO) build -trimpath -o "$$dir/mezhved" ./cmd/mezhved && \
	"$$dir/mezhved" bench exchange --duration 30s --profile "$$dir/exchange.prof" && \
	"$$dir/mezhved" bench accept --duration 20s --profile "$$dir/accept.prof" && \
	$(GO) tool pprof -proto -ignore '^crypto/' -output $(PROFILE) "$$dir"/exchange.prof "$$dir"/accept.prof

# What the offline page proves signatures with: the auditor's program for browsers, and
# the runtime of the Go that compiles it. The tag leaves no network in it.
PAGE := cmd/mezhved-audit/page
browser: ## compile mezhved-audit for the page that "mezhved-audit page" writes
	GOOS=js GOARCH=wasm $(GO) build -tags offline -trimpath -buildvcs=false -ldflags '-s -w' -o $(PAGE)/browser.wasm ./cmd/mezhved-audit/browser
	gzip -9nf $(PAGE)/browser.wasm
	cp "$$($(GO) env GOROOT)/lib/wasm/wasm_exec.js" $(PAGE)/wasm_exec.js

dist: browser ## what is installed, into dist/: static programs, .deb, .rpm, a container image, bills of materials; the same bytes from the same commit (VERSION=, else the commit's tag)
	cd deploy/dist && $(GO) run . -root ../.. -out $(abspath dist) -version "$(VERSION)"

test-dist: dist ## install, start, upgrade, remove and purge what make dist has made, on a machine that boots for it (root); look at image, bills, compose.yaml and Kubernetes' manifests
	cd deploy/dist && MEZHVED_DIST=$(abspath dist) $(GO) test -count=1 -timeout 20m ./...

reproducible: ## make dist twice, in other folders and with nothing kept from the first time: the same bytes
	.ci/reproducible

licences: ## licences of all modules against the policy (SECURITY.md)
	cd deploy/dist && $(GO) run ./licences/check -root ../..

vulnerabilities: ## known vulnerabilities in what the programs call (needs the Go vulnerability database, or a copy: GOVULNDB=file:///...)
	.ci/vulnerabilities

test: browser ## all tests on real parts: a private PostgreSQL and an in-process Kafka broker
	$(GO) test -timeout 20m $(TESTS)

test-at: browser ## all tests (TESTS=, RUN=) as if they were begun at another moment, NOW=2026-12-31T20:58:00Z: programs, PostgreSQL and children alike (needs cc)
	.ci/at "$(NOW)" -timeout 40m $(if $(RUN),-run '$(RUN)') $(TESTS)

test-moments: browser ## the same at each moment that has days, years, terms or partitions to trip over (.ci/moments), one after another
	@sed 's/ *#.*//' .ci/moments | while read -r moment; do [ -z "$$moment" ] || { echo "== $$moment" && .ci/at "$$moment" -timeout 40m $(if $(RUN),-run '$(RUN)') $(TESTS) </dev/null; } || failed=1; done; [ -z "$$failed" ]

check: fmt vet licences vulnerabilities test ## what CI runs: formatting, vet, all tests

fmt:
	@out=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$out" || { echo "gofmt would change:"; echo "$$out"; exit 1; }

vet:
	$(GO) vet ./...
	GOOS=js GOARCH=wasm $(GO) vet -tags offline ./cmd/mezhved-audit/browser

storm: ## faults drawn at random against two nodes under load: ROUNDS (default 30), SEED, KINDS, BUS (kfake,kafka1,kafka3), WORLD (rounds of one), TABLE (a file)
	MEZHVED_STORM=$(ROUNDS) MEZHVED_STORM_WORLD=$(WORLD) MEZHVED_STORM_SEED=$(SEED) MEZHVED_STORM_KINDS=$(KINDS) MEZHVED_STORM_BUS=$(BUS) MEZHVED_STORM_TABLE=$(abspath $(TABLE)) \
		$$([ "$$(id -u)" = 0 ] && command -v unshare >/dev/null && echo unshare -m) $(GO) test -v -count=1 -timeout 0 -run '^TestStorm$$' ./cmd/mezhved

tamper: ## random changes of leaves, proofs, checkpoints, logs, bundles, time stamps, envelopes, receipts, answers about revocation and mirrors, MUTATIONS (default 20000) of each kind: none may go unnoticed
	MEZHVED_MUTATIONS=$(or $(MUTATIONS),20000) $(GO) test -count=1 -timeout 12h -v -run 'Mutation' ./adapter/journal ./adapter/journal/audit ./adapter/journal/papers ./cmd/mezhved-audit/verdict

test-kafka: ## the end-to-end suite on real Apache Kafka, one node and three (needs Java 17 and Maven)
	.ci/test-kafka

test-outside: ## other people's tools: Tessera's fsck and client and a reference witness on our journal, MinIO's client on our file store, a service of S3 for our backups
	cd adapter/journal/outside && $(GO) test ./...
	cd adapter/files/outside && $(GO) test ./...
	cd adapter/backup/outside && $(GO) test ./...

test-bare: ## the demonstration on a machine with Go, make and git alone, as root and as an ordinary user (fetches PostgreSQL)
	.ci/bare

test-clients: ## unmodified third-party SOAP clients against the demo (needs python3; node is optional)
	.ci/test-clients

fuzz: ## every fuzzer for FUZZTIME (default 30s)
	.ci/fuzz $${FUZZTIME:-30s}

bench: ## benchmarks of the stages, then of the whole gateway
	$(GO) test -run '^$$' -bench . -benchtime $(BENCHTIME) ./envelopes/... ./signing/... ./xsd/... ./adapter/...
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && set -e && $(GO) build -o "$$dir/mezhved" ./cmd/mezhved && \
	"$$dir/mezhved" bench message --out "$$dir/messages" && \
	for m in "$$dir"/messages/*.xml; do "$$dir/mezhved" bench pipeline --message "$$m" --services testdata/services; done && \
	"$$dir/mezhved" bench accept && "$$dir/mezhved" bench exchange

rehearse: browser ## under load, with real programs: a backup, a disaster and a restore; a standby that takes over; an upgrade node by node
	MEZHVED_REHEARSE=1 $(GO) test -v -count=1 -timeout 30m -run '^(TestABackupIsRestored|TestAStandbyTakesOver|TestAnUpgradeNodeByNode)$$' ./cmd/mezhved

protocols: ## make the test protocols of the demonstration's services again, signed with fresh test keys (after a change of their schemas or samples)
	GO=$(GO) .ci/protocols

tools: ## install what the tests use as oracles where it is missing (Debian, root)
	.ci/tools

clean: ## remove what was built
	rm -rf bin dist $(PAGE)/browser.wasm* $(PAGE)/wasm_exec.js
