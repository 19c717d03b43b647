# `make` lists the commands. Two of them set up everything on a fresh machine:
# `make up` (a cluster with the chart on it) and `make test` (all tests that
# need no cluster).

# Flags for every `go test`, for instance TESTFLAGS=-v.
TESTFLAGS ?=
# How long `make chaos` and `make soak` run; their faults and cases follow from SEED, by default a new one.
DURATION ?= 10m
SEED ?=
# The chart that `make diff` compares with, and the lines that `make mutate` changes (all).
OLD ?= HEAD
ONLY ?=
# Values files that `make policy` checks.
VALUES ?=
# The default image of the chart that `make package` makes, and further flags for it,
# for instance PACKAGEFLAGS="--key NAME --keyring FILE": see `go run ./chart package --help`.
IMAGE ?=
PACKAGEFLAGS ?=
BIN := $(CURDIR)/.cache/bin
export PATH := $(BIN):$(PATH)
export KUBECONFIG := $(CURDIR)/.cache/kubeconfig
# Each module is built with its own go.mod; go.work is for commands by hand.
export GOWORK := off
CLUSTER := cd tools && go run ./cluster

##@ Try it

up: ## create a kind cluster, install the chart and show a failover (needs root, or Docker)
	$(CLUSTER) up

down: ## remove the cluster; caches stay
	$(CLUSTER) down

image: ## build the Redis image, and load it into the cluster if there is one
	$(CLUSTER) image

##@ Test

# The last two read sources that Go's test cache does not know of, hence -count=1.
test: tools ## every test that needs no cluster; what it needs is installed
	go vet ./...
	go test $(TESTFLAGS) ./image/launcher/internal/... ./tests/render/...
	go test -count=1 $(TESTFLAGS) -timeout 30m ./image/launcher/loopback/...
	cd tools && go vet ./... && go test -count=1 $(TESTFLAGS) ./...
	$(MAKE) lint

policy: ## check your own values: VALUES=my-values.yaml, or several files
	@test -n "$(VALUES)" || { echo 'make policy: there are no values to check: set VALUES=my-values.yaml, or several files: VALUES="a.yaml b.yaml"' >&2; exit 2; }
	GOWORK= go run ./tools/policy $(foreach file,$(VALUES),-f $(file))

lint: tools ## formatting, the chart with chart-testing, and known vulnerabilities that are called
	@files="$$(git ls-files '*.go' | xargs gofmt -l)"; test -z "$$files" || { echo "gofmt -w is needed for:"; echo "$$files"; exit 1; }
	cd tools && go run ./chart lint
	cd tools && go run ./vulnerabilities

e2e: ## the end-to-end tests and chart-testing's install, on the cluster
	$(CLUSTER) up --only-cluster
	cd tests/e2e && go vet ./... && go test -count=1 -timeout 60m -parallel 4 -v $(TESTFLAGS) ./...
	cd tools && go run ./chart install

e2e-full: e2e ## the same, and once more with a StatefulSet of servers
	cd tests/e2e && go test -count=1 -timeout 60m -parallel 4 -v $(TESTFLAGS) . -args -workload StatefulSet

chaos: ## random faults under two writers, with a check after each; DURATION=10m SEED=1
	$(CLUSTER) up
	cd tools && go run ./chaos --duration $(DURATION) $(if $(SEED),--seed $(SEED))

soak: ## new cases for all property tests, and new lives of the simulated release; DURATION=10m SEED=1
	cd tools && go run ./soak --duration $(DURATION) $(if $(SEED),--seed $(SEED))

##@ Measure it

bench: ## what clients notice of faults and what the launcher costs; four hours and more, needs Node.js
	$(CLUSTER) up
	cd tools && go run ./bench clients && go run ./bench faults && go run ./bench heavy && go run ./bench install && go run ./bench throughput && go run ./bench load && go run ./bench crowd && go run ./bench encrypted && go run ./bench returns && go run ./bench launcher && go run ./bench scale && go run ./bench quiet
	$(MAKE) bench-report

bench-report: ## write the tables and pictures of docs/benchmarks.md from docs/benchmarks.json
	cd tools && go run ./bench report

##@ Change it

tools: ## build kubectl, helm, helm4, ct and kind into .cache/bin
	@$(CLUSTER) tools

package: ## the chart's archive and index.yaml in .cache/charts; IMAGE=registry/name:tag becomes its default image
	cd tools && go run ./chart package $(if $(IMAGE),--image $(IMAGE)) $(PACKAGEFLAGS)

golden: ## write the rendered manifests that the tests compare with, docs/policies.md, and the tables of rules in docs
	go test ./tests/render ./tests/render/policy -run Golden -update
	go test ./image/launcher/internal/role -run Golden -update

diff: ## the rendered difference from the chart of a git reference; OLD=v0.1.0
	@cd tools && go run ./chartdiff -old "$(OLD)"

mutate: ## change each line of the chart in turn, and list what no test of tests/render notices; ONLY=regexp
	cd tools && go run ./mutate -only "$(ONLY)"

clean: ## remove what the build left in this folder; caches of the machine stay
	rm -rf .cache

help:
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

.DEFAULT_GOAL := help
.PHONY: up down image test policy lint e2e e2e-full chaos soak bench bench-report tools package golden diff mutate clean help
