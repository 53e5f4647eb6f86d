# Barnabas. 'make help' lists the targets.

GO      ?= go
OUT     ?= out
# large-cluster takes several seconds a seed: name it to have it (make sim SCENARIOS=large-cluster SEEDS=1..5).
SCENARIOS ?= $$(bin/barnabas scenarios --names | grep -v large-cluster)
SEEDS   ?= 1..200

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help build test race tidy fmt sim determinism zoo replay fuzz interop interop-core bench-sim bench-log bench-broker bench-vs-kafka bench-control shrink cause soak soak-log soak-eligible regress bench-groups zoo-finders test-checkers slurm

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

build: ## build bin/barnabas
	$(GO) build -o bin/barnabas ./cmd/barnabas

test: ## every test that needs Go alone
	$(GO) test -timeout 20m ./...

race: ## the same under the race detector
	$(GO) test -race ./...

tidy: ## the import ladder, the determinism bans, gofmt and vet
	@test -z "$$(gofmt -l $$(git ls-files '*.go' | grep -v testdata))" || { gofmt -l $$(git ls-files '*.go' | grep -v testdata); echo "run make fmt"; exit 1; }
	$(GO) vet ./...
	$(GO) test -count=1 ./internal/tidy

fmt: ## gofmt everything
	gofmt -w $$(git ls-files '*.go' | grep -v testdata)

sim: build ## every scenario over SEEDS (1..200)
	@for s in $(SCENARIOS); do bin/barnabas run $$s --seeds $(SEEDS) --out $(OUT)/$$s || exit $$?; done

determinism: build ## every scenario over SEEDS, each seed twice, hashes compared; one under GOMAXPROCS 1 and 2, and the race detector, too
	@for s in $(SCENARIOS); do bin/barnabas run $$s --seeds $(SEEDS) --twice --out $(OUT)/$$s || exit $$?; done
	@for p in 1 2; do GOMAXPROCS=$$p bin/barnabas run leader-failover --seed 7 --out $(OUT)/gomaxprocs-$$p | grep -o 'hash [0-9a-f]*'; done | uniq | { read a; ! read b; } || { echo "the hash depends on GOMAXPROCS"; exit 13; }
	@$(GO) build -race -o $(OUT)/barnabas-race ./cmd/barnabas
	@for b in bin/barnabas $(OUT)/barnabas-race; do $$b run leader-failover --seed 7 --out $(OUT)/race-or-not | grep -o 'hash [0-9a-f]*'; done | uniq | { read a; ! read b; } || { echo "the hash depends on the race detector"; exit 13; }

zoo: build ## every bug of the zoo, found by the soak's mix: seeds it took (median, worst of TRIALS), and as what; out/zoo/zoo.md
	bin/barnabas zoo --trials $(or $(TRIALS),3) --out $(OUT)/zoo

zoo-finders: build ## every bug of the zoo, found by the scenario of its part of the broker
	$(GO) test -count=1 -run TestZoo -v ./scenarios -zoo 500 -timeout 60m | grep --line-buffered -v '^=== '

test-checkers: ## every anomaly planted into sound histories, every weakened checker seen to fail, the gate held against porcupine; and its speed
	$(GO) test -count=1 -v -run 'Planted|Mutated|Sound|Weaker|Agrees|Online|EveryInvariant' ./linearizability/... ./scenarios/oracle | grep --line-buffered -v '^=== '
	$(GO) test -run '^$$' -bench 'Judge|Everything' -benchtime 3x -benchmem ./linearizability/...

replay: build ## replay DIR=out/...
	bin/barnabas replay $(DIR)

shrink: build ## shrink DIR=out/... to the smallest run that still fails
	bin/barnabas shrink $(DIR)

cause: build ## from which moment on DIR=out/... was bound to fail
	bin/barnabas cause $(DIR)

soak: build ## every scenario for FOR (10m); out/soak/index.html; then soak-log and soak-eligible
	bin/barnabas soak --for $(or $(FOR),10m) --out $(OUT)/soak
	$(MAKE) soak-log soak-eligible

soak-log: ## the log against its models over LOG_SEEDS (10000) seeds, and every crash state of 2,000 short histories
	$(GO) test -count=1 -timeout 2h -run 'TestModel$$|TestCompactionModel$$|TestEveryCrashState' -v ./broker/log -model-seeds $(or $(LOG_SEEDS),10000) -state-seeds $(or $(STATE_SEEDS),2000) | grep --line-buffered -v '^=== '

soak-eligible: ## the rules of eligible leader replicas (decision 001) in WALK_SEEDS (50000) random walks, and everything within 9 steps
	$(GO) test -count=1 -timeout 2h -run 'TestEligible' -v ./broker/controller -walk-seeds $(or $(WALK_SEEDS),50000) -explore-depth 9 | grep --line-buffered -v '^=== '

regress: ## every failure of the past: fails with its bug, passes without
	$(GO) test -count=1 -run TestRegressions ./scenarios

fuzz: ## each fuzz target for FUZZTIME (20s)
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $${FUZZTIME:-20s} $$p > /tmp/fuzz.$$$$ 2>&1 || { cat /tmp/fuzz.$$$$; exit 1; }; done; done

ZOOKEEPER_JAR ?= /usr/share/java/zookeeper.jar

KAFKA_LIB ?= $(HOME)/.cache/barnabas/kafka

$(KAFKA_LIB)/.fetched:
	mkdir -p $(KAFKA_LIB)
	printf '%s\n' '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>barnabas</groupId><artifactId>interop</artifactId><version>1</version><packaging>pom</packaging><dependencies>' \
	  '<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>3.9.1</version></dependency>' \
	  '<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>3.9.1</version></dependency>' \
	  '<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId><version>1.7.36</version></dependency></dependencies></project>' > $(KAFKA_LIB)/pom.xml
	mvn -q -B -f $(KAFKA_LIB)/pom.xml dependency:copy-dependencies -DoutputDirectory=$(KAFKA_LIB)
	touch $@

interop: build $(KAFKA_LIB)/.fetched ## kcat, franz-go, Apache ZooKeeper and Apache Kafka's files against real processes (Debian: kcat zookeeper strace maven default-jre)
	BARNABAS_KAFKA_LIB=$(KAFKA_LIB) $(GO) test -count=1 -timeout 10m -run 'TestKafkaReads|TestWeRead' -v ./broker/log | grep --line-buffered -v '^=== '
	BARNABAS_INTEROP=1 BARNABAS_KAFKA_LIB=$(KAFKA_LIB) $(GO) test -count=1 -timeout 60m -run TestInterop -v ./cmd/barnabas | grep --line-buffered -v '^=== '
	BARNABAS_ZK_CLASSPATH=$(ZOOKEEPER_JAR) $(GO) test -count=1 -timeout 10m ./broker/zookeeper/zktest

interop-core: build ## the part of interop that every change must pass: kcat, franz-go, sendfile, both ZooKeepers
	BARNABAS_INTEROP=1 $(GO) test -count=1 -timeout 10m -run 'TestInterop(Kcat|FranzGo|Sendfile)$$' -v ./cmd/barnabas | grep --line-buffered -v '^=== '
	BARNABAS_ZK_CLASSPATH=$(ZOOKEEPER_JAR) $(GO) test -count=1 -timeout 10m ./broker/zookeeper/zktest

bench-sim: ## speed of the simulator: virtual seconds a second, events a second, heap; two cores against one
	$(GO) test -run '^$$' -bench BenchmarkLeaderFailover -benchtime 20x -cpu 1 ./scenarios
	$(GO) test -run '^$$' -bench BenchmarkTwoCores -benchtime 1x ./scenarios

slurm: build ## the soak as a Slurm array, tried on this machine (root; Debian: slurm-wlm munge)
	deploy/slurm/try.sh

bench-log: ## the log beside the machine's own limits (writes, sendfile, CRC-32C), at 1 and 50 GB, 2,000 logs opened; for benchstat
	$(GO) test -run '^$$' -bench 'BenchmarkLog(Append|PlainWrite|Fetch|CRC)$$' -benchtime 1s -count $${COUNT:-5} -timeout 30m ./broker/log
	$(GO) test -run '^$$' -bench 'BenchmarkLog(AppendRatio|FetchRatio|Size)$$' -benchtime 40x -count $${COUNT:-5} -timeout 30m ./broker/log
	$(GO) test -run '^$$' -bench 'BenchmarkLogOpen$$' -benchtime 3x -timeout 30m ./broker/log
	$(GO) test -run '^$$' -bench 'Validate|CRC' -count $${COUNT:-5} ./broker/record

bench-broker: ## a whole broker over loopback beside plain sendfile: CPU a GB, memory, idle, starts, 2,000 partitions
	BARNABAS_BENCH=1 $(GO) test -count=1 -timeout 30m -run 'TestBrokerBench$$' -v ./cmd/barnabas | grep --line-buffered -v '^=== '

bench-vs-kafka: build $(KAFKA_LIB)/.fetched ## Barnabas against Apache Kafka 3.9.1, interleaved (Java, Maven); at most MINUTES (15); report in OUT=out/vs-kafka
	KAFKA_LIB=$(KAFKA_LIB) bench/vs-kafka/run.sh

bench-control: ## controller at size: simulated with 10,000 partitions, on real processes with 2,000
	$(GO) test -count=1 -run TestControlAtSize -v ./broker/controller -control-bench | grep --line-buffered -v '^=== '
	$(GO) test -count=1 -timeout 20m -run TestControlInRealWorld -v ./cmd/barnabas -control-bench | grep --line-buffered -v '^=== '

bench-groups: build ## groups at size: 1,000 groups of ten after their coordinator crashed (simulated); 5,000 committed offsets a second (real)
	$(GO) test -count=1 -run TestGroupsAfterACoordinatorCrash -v ./broker -groups 1000 | grep --line-buffered -v '^=== '
	$(GO) test -count=1 -run TestBenchGroups -v ./cmd/barnabas -bench-groups | grep --line-buffered -v '^=== '
