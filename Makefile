# Every target's line of help stands behind its ##; `make` prints them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

TOOLS := .cache/tools
# A count: at the end of a time, go before 1.27 may call a target failed that found nothing (golang/go#75804).
FUZZTIME ?= 4000x
FIGURE ?=
BENCH_JSON ?=
BENCH ?= .
BENCHCOUNT ?= 1
FAULTS ?= 20
SEED ?= 1
KILLS ?= 30
BROKERS ?= 1
KAFKA_PORT ?= 9092
REGISTRY_PORT ?= 8081
S3_PORT ?= 7070
TESTFLAGS ?=
PKG ?= ./...
VERSION ?=
# The versions of Kubernetes whose schemas the chart is held against.
KUBERNETES := 1.35.4 1.36.3 1.37.2
CHART_TOOLS := helm helm-docs helm-unittest kubeconform kubeschemas
CLUSTER_TOOLS := etcd kube-apiserver kube-controller-manager kubectl
HELM ?= $(TOOLS)/helm
PROOF_PACKAGES ?= ./cmd/bridge ./publish
# Whoever calls counterpart.SkipUnderRace, by name.
PROOFS = $(shell awk -F '[^A-Za-z0-9_]+' '/^func Test/ {name = $$2} /counterpart.SkipUnderRace/ {print name}' $(PROOF_PACKAGES:%=%/*_test.go) | paste -sd '|')

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables: PKG=./publish TESTFLAGS='-run X -v' FUZZTIME=1m FIGURE=webhook BENCH_JSON=bench.json BENCH=Decide BENCHCOUNT=6 FAULTS=100 SEED=7 KILLS=30 BROKERS=3 RULE=7-event-id-from-the-clock KAFKA_PORT=9092 HELM=/usr/local/bin/helm4 VERSION=1.2.3"

.PHONY: build
build: ## Build bin/bridge.
	CGO_ENABLED=0 go build -trimpath -tags "$$(cat tools/image/build-tags)" -o bin/bridge ./cmd/bridge

.PHONY: image
image: image-tool ## Build the container image (bin/bridge-image.tar: OCI, amd64 and arm64) and its SBOMs, without an engine.
	$(TOOLS)/image build -out bin

.PHONY: image-test
image-test: image-tool ## Build the image twice, compare, and run it: non-root, read-only root; needs root and unshare.
	tools/image-test $(TOOLS)/image

.PHONY: containerfile-test
containerfile-test: image-tool ## Build the Containerfile with buildah and compare the result with the image; needs root.
	tools/containerfile-test $(TOOLS)/image

.PHONY: release
release: image-tool ## Build what a release holds into dist/ (VERSION=1.2.3, which CHANGELOG.md must have).
	@# A mistake is told before Helm is built.
	$(TOOLS)/image ready '$(VERSION)'
	@$(MAKE) --no-print-directory $(TOOLS)/helm
	$(TOOLS)/image release -helm $(TOOLS)/helm -out dist '$(VERSION)'

.PHONY: image-tool
image-tool:
	@mkdir -p $(TOOLS)
	cd tools/image && go build -trimpath -o ../../$(TOOLS)/image .

.PHONY: demo
demo: ## Watch the whole flow: embedded broker, simulated API, verified at the end.
	go run ./cmd/bridge demo

.PHONY: test
test: ## Run every test under the race detector, on a real Apache Kafka too where java 17 and mvn exist.
	go vet ./...
	@# Everything is built on all cores; then one package at a time is tested, for brokers beside each other would slow down
	@# what is timed.
	go build -race ./...
	tools/counted go test -race -p 1 -timeout 20m $(PKG) $(TESTFLAGS)
ifeq ($(PKG),./...)
	@# A module of its own, which ./... does not reach.
	cd tools/image && go vet ./... && go test ./... $(TESTFLAGS)
endif

# Most are hours of virtual time in one goroutine at a time: the race detector finds nothing there, and takes ten times as long.
.PHONY: test-proofs
test-proofs: ## Run the long proofs, without the race detector (PROOF_PACKAGES).
	go test -timeout 15m -run '^($(PROOFS))$$' $(PROOF_PACKAGES) $(TESTFLAGS)

.PHONY: test-fast
test-fast: ## Run what needs neither Java nor patience (go test -short, no race detector).
	go test -short $(PKG) $(TESTFLAGS)
ifeq ($(PKG),./...)
	cd tools/image && go test ./... $(TESTFLAGS)
endif

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (4000x, or a time such as 1m).
	tools/fuzz $(FUZZTIME)

.PHONY: bench
bench: ## Measure against the bare limit of this machine, on Apache Kafka (FIGURE=name, BENCH_JSON=file); prints one table.
	go run ./cmd/bench $(if $(FIGURE),--figure $(FIGURE)) $(if $(BENCH_JSON),--json $(BENCH_JSON))

.PHONY: microbench
microbench: ## Run the Go benchmarks (BENCH, BENCHCOUNT) and compare them with the run before.
	@mkdir -p .cache/bench
	@[ ! -s .cache/bench/now.txt ] || mv .cache/bench/now.txt .cache/bench/before.txt
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(BENCHCOUNT) $(PKG) | tee .cache/bench/now.txt
	@[ ! -s .cache/bench/before.txt ] || { $(MAKE) --no-print-directory $(TOOLS)/benchstat && \
		$(TOOLS)/benchstat .cache/bench/before.txt .cache/bench/now.txt; }

.PHONY: lab
lab: ## Break bridges, brokers and connections by drawn faults under load, and judge the topics (FAULTS, SEED, BROKERS=1|3).
	go build -o bin/lab ./cmd/lab
	bin/lab --faults $(FAULTS) --seed $(SEED) --brokers $(BROKERS)

.PHONY: lab-recovery
lab-recovery: ## Measure how long a take-over lasts after kill -9 and after a graceful stop (KILLS, BROKERS).
	go build -o bin/lab ./cmd/lab
	bin/lab recovery --kills $(KILLS) --brokers $(BROKERS)

.PHONY: cover
cover: ## Measure the tests' coverage; cover.out holds it, the function list is printed.
	go test -short -coverpkg=./... -coverprofile=cover.out $(PKG)
	@go tool cover -func=cover.out

.PHONY: lint
lint: $(TOOLS)/golangci-lint ## Check style, correctness and the arrows between packages.
	tools/dependencies
	tools/broken-rules --dry-run
	$(TOOLS)/golangci-lint run --allow-serial-runners $(PKG)
ifeq ($(PKG),./...)
	cd tools/image && ../../$(TOOLS)/golangci-lint run --allow-serial-runners --config ../../.golangci.yml ./...
	cd tools/chart && ../../$(TOOLS)/golangci-lint run --allow-serial-runners --config ../../.golangci.yml ./...
endif

.PHONY: lint-rules
lint-rules: $(TOOLS)/golangci-lint ## Prove on planted violations that the project's own lint rules fire.
	tools/lint-rules $(TOOLS)/golangci-lint

.PHONY: broken-rules
broken-rules: ## Break each rule that exactly once rests on, one at a time, and see its test fall; takes minutes.
	tools/broken-rules $(RULE)

.PHONY: fmt
fmt: $(TOOLS)/golangci-lint ## Format the Go code.
	$(TOOLS)/golangci-lint fmt $(PKG)

.PHONY: deadcode
deadcode: $(TOOLS)/deadcode ## List functions that nothing reaches, tests included.
	$(TOOLS)/deadcode -test ./...

.PHONY: generate
generate: ## Write the generated files again (docs/configuration.md); the tests fail while they are stale.
	go generate ./...

.PHONY: kafka-up
kafka-up: ## Start a real Apache Kafka on loopback (BROKERS, KAFKA_PORT); needs java 17 and mvn.
	@tools/kafka up .cache/kafka $(BROKERS) $(KAFKA_PORT)

.PHONY: kafka-down
kafka-down: ## Stop it and forget its data.
	tools/kafka down .cache/kafka
	rm -rf .cache/kafka

.PHONY: registry-up
registry-up: ## Start a real schema registry on loopback (REGISTRY_PORT); prints its base URL.
	@tools/registry up .cache/registry $(REGISTRY_PORT)

.PHONY: registry-down
registry-down: ## Stop it and forget its data.
	tools/registry down .cache/registry
	rm -rf .cache/registry

.PHONY: s3-up
s3-up: ## Start a real S3 server with a bucket "records" on loopback (S3_PORT); prints its endpoint.
	@tools/s3 up .cache/s3 $(S3_PORT)
	@tools/s3 bucket .cache/s3 records

.PHONY: s3-down
s3-down: ## Stop it and forget its data.
	tools/s3 down .cache/s3
	rm -rf .cache/s3

.PHONY: chart-test
chart-test: $(CHART_TOOLS:%=$(TOOLS)/%) $(TOOLS)/kube-score ## Check the Helm chart: lint, unit tests, schemas of Kubernetes, score, refusals, golden renderings.
	@$(TOOLS)/kubeschemas .cache/kube-schemas $(KUBERNETES)
	@tools/chart/test $(TOOLS) .cache/kube-schemas "$(KUBERNETES)"
	@# Modules of their own, which ./... does not reach; and the package of a release, which needs Helm too.
	cd tools/chart && go vet ./... && go test ./...
	cd tools/image && HELM=$(abspath $(TOOLS))/helm go test -count 1 -run Chart .

.PHONY: chart-golden
chart-golden: $(CHART_TOOLS:%=$(TOOLS)/%) $(TOOLS)/kube-score ## Write the chart's golden renderings and README.md again; look at the difference.
	@$(TOOLS)/kubeschemas .cache/kube-schemas $(KUBERNETES)
	@tools/chart/test $(TOOLS) .cache/kube-schemas "$(KUBERNETES)" --write

.PHONY: chart-e2e
chart-e2e: $(CLUSTER_TOOLS:%=$(TOOLS)/%) $(HELM) ## Hold the chart against a real Kubernetes API server, from strict validation to uninstall (HELM=path); builds 15 minutes once.
	cd tools/chart && go build -trimpath -o ../../$(TOOLS)/chart-e2e ./e2e
	@strimzi=$$(tools/strimzi-crds) && $(TOOLS)/chart-e2e $(TOOLS) $(HELM) deploy/helm "$$strimzi" .cache/chart-e2e

.PHONY: clean
clean: ## Stop what was started and remove what was built.
	@[ ! -d .cache/kafka ] || $(MAKE) --no-print-directory kafka-down
	@[ ! -d .cache/registry ] || $(MAKE) --no-print-directory registry-down
	@[ ! -d .cache/s3 ] || $(MAKE) --no-print-directory s3-down
	rm -rf bin .cache dist cover.out

# The build tools are pinned in tools/go.mod, so that go.mod holds only what the bridge needs.
$(TOOLS)/golangci-lint: MODULE := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
$(TOOLS)/benchstat: MODULE := golang.org/x/perf/cmd/benchstat
$(TOOLS)/deadcode: MODULE := golang.org/x/tools/cmd/deadcode
$(TOOLS)/%: tools/go.mod tools/go.sum
	@mkdir -p $(@D)
	cd tools && go build -trimpath -o ../$@ $(MODULE)
	@touch $@

# Those of the chart have a module of their own: Helm alone brings ten times what the others do.
$(TOOLS)/helm: MODULE := helm.sh/helm/v3/cmd/helm
$(TOOLS)/helm-docs: MODULE := github.com/norwoodj/helm-docs/cmd/helm-docs
$(TOOLS)/helm-unittest: MODULE := github.com/helm-unittest/helm-unittest/cmd/helm-unittest
$(TOOLS)/kubeconform: MODULE := github.com/yannh/kubeconform/cmd/kubeconform
$(TOOLS)/kubeschemas: MODULE := ./kubeschemas
$(TOOLS)/kubeschemas: $(wildcard tools/chart/kubeschemas/*.go tools/chart/definitions/*.go)
$(CHART_TOOLS:%=$(TOOLS)/%): tools/chart/go.mod tools/chart/go.sum
	@mkdir -p $(@D)
	cd tools/chart && go build -trimpath -o ../../$@ $(MODULE)
	@touch $@

# A real API server with what it needs; the version is stamped as Kubernetes' own build does it, for Helm asks for it.
$(TOOLS)/etcd: MODULE := go.etcd.io/etcd/server/v3
$(TOOLS)/kube-apiserver: MODULE := k8s.io/kubernetes/cmd/kube-apiserver
$(TOOLS)/kube-controller-manager: MODULE := k8s.io/kubernetes/cmd/kube-controller-manager
$(TOOLS)/kubectl: MODULE := k8s.io/kubernetes/cmd/kubectl
$(CLUSTER_TOOLS:%=$(TOOLS)/%): tools/chart/cluster/go.mod tools/chart/cluster/go.sum
	@mkdir -p $(@D)
	cd tools/chart/cluster && version=$$(go list -m -f '{{.Version}}' k8s.io/kubernetes) && \
		IFS=. read -r major minor _ <<<"$${version#v}" && flags= && for package in k8s.io/{component-base,client-go/pkg}/version; do \
		flags+=" -X $$package.gitVersion=$$version -X $$package.gitMajor=$$major -X $$package.gitMinor=$$minor"; done && \
		go build -trimpath -ldflags "$$flags" -o ../../../$@ $(MODULE)
	@touch $@

$(TOOLS)/kube-score: tools/chart/score/go.mod tools/chart/score/go.sum
	@mkdir -p $(@D)
	cd tools/chart/score && go build -trimpath -o ../../../$@ github.com/zegl/kube-score/cmd/kube-score
	@touch $@
