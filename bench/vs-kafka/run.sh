#!/usr/bin/env bash
# Measures Barnabas against Apache Kafka 3.9.1 in ZooKeeper mode, on this machine, one broker each, the same workload
# files, in interleaved pairs. Needs Java 11 or later, Maven, and some 10 GB of disk. The report lands in OUT.
#
#   OUT=out/vs-kafka REPS=5 WORKLOADS="produce-64k produce-1m consume tail-5k" bench/vs-kafka/run.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
OUT=${OUT:-out/vs-kafka} REPS=${REPS:-5} WORKLOADS=${WORKLOADS:-produce-64k produce-1m consume tail-5k}
OURS=127.0.0.1:${PORT:-19092} THEIRS=127.0.0.1:${KAFKA_PORT:-19192} ZK=127.0.0.1:${ZK_PORT:-19281}
BENCH_FLAGS=${BENCH_FLAGS:-}
DIR=$(mktemp -d "${TMPDIR:-/tmp}/vs-kafka.XXXXXX")
pids=()
finish() {
  for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
  for p in "${pids[@]}"; do wait "$p" 2>/dev/null || true; done
  rm -rf "$DIR"
}
trap finish EXIT

say() { printf '%s\n' "$*" >&2; }
await() { # host:port what log
  for _ in $(seq 300); do
    if (exec 3<>"/dev/tcp/${1%:*}/${1#*:}") 2>/dev/null; then return; fi
    sleep 0.1
  done
  say "$2 does not listen on $1 after 30 s:"; tail -n 20 "$3" >&2; exit 1
}

LIB=${KAFKA_LIB:-out/kafka-3.9.1}
if ! ls "$LIB"/kafka_2.13-*.jar >/dev/null 2>&1; then
  say "fetching Apache Kafka 3.9.1 into $LIB"
  mvn -q -f bench/vs-kafka/pom.xml dependency:copy-dependencies -DoutputDirectory="$(mkdir -p "$LIB" && cd "$LIB" && pwd)"
fi
mkdir -p "$DIR/zookeeper" "$DIR/kafka"
cat > "$DIR/zoo.cfg" <<EOF
tickTime=2000
dataDir=$DIR/zookeeper
clientPort=${ZK#*:}
clientPortAddress=${ZK%:*}
admin.enableServer=false
EOF
cat > "$DIR/server.properties" <<EOF
broker.id=1
listeners=PLAINTEXT://$THEIRS
log.dirs=$DIR/kafka
zookeeper.connect=$ZK
offsets.topic.replication.factor=1
EOF
cat > "$DIR/log4j.properties" <<EOF
log4j.rootLogger=WARN, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=[%d] %p %m (%c)%n
EOF
JAVA="java -Dlog4j.configuration=file:$DIR/log4j.properties -cp $LIB/*"
$JAVA -Xmx256m org.apache.zookeeper.server.quorum.QuorumPeerMain "$DIR/zoo.cfg" > "$DIR/zookeeper.log" 2>&1 & pids+=($!)
await "$ZK" ZooKeeper "$DIR/zookeeper.log"
$JAVA -Xms1g -Xmx1g -XX:+UseG1GC -XX:MaxGCPauseMillis=20 kafka.Kafka "$DIR/server.properties" > "$DIR/kafka.log" 2>&1 & pids+=($!)
bin/barnabas up --brokers 1 --port "${OURS#*:}" --zookeeper-port 0 --dir "$DIR/barnabas" --log-level warn > "$DIR/barnabas.log" 2>&1 & pids+=($!)
await "$THEIRS" "Apache Kafka" "$DIR/kafka.log"
await "$OURS" Barnabas "$DIR/barnabas.log"

say "warming up: a JVM that has not compiled its hot path yet would be measured at a third of its speed"
for w in produce-64k produce-64k consume; do
  for b in "$THEIRS" "$OURS"; do
    bin/barnabas bench $w --bootstrap "$b" --label warm-up --repetitions 1 --allow-noise --out "$DIR/warm" > /dev/null 2>&1
  done
done
for w in $WORKLOADS; do
  say "== $w"
  # A workload all of whose repetitions are void is in the report as such: the others go on.
  bin/barnabas bench compare "$w" --bootstrap "$OURS" --label Barnabas --against "$THEIRS" --against-label "Apache Kafka 3.9.1" \
    --repetitions "$REPS" --out "$OUT" $BENCH_FLAGS || say "$w: exit code $?"
done
say "the report is $OUT/report.html"
