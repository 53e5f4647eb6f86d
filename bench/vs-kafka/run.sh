#!/usr/bin/env bash
# Measures Barnabas against Apache Kafka 3.9.1 in ZooKeeper mode, on this machine, the same workload files, in interleaved
# pairs: one broker each, then three brokers each (replication 3, acks=all). Needs Java 11 or later, Maven, and some 10 GB
# of disk. The report lands in OUT. It takes at most MINUTES, 15 by default, besides fetching Kafka: when time runs short, workloads get fewer
# repetitions, down to two, and then are left out, which is said.
#
#   OUT=out/vs-kafka REPS=4 MINUTES=15 WORKLOADS="produce-64k consume tail-5k" WORKLOADS3="replicated-5k" bench/vs-kafka/run.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
OUT=${OUT:-out/vs-kafka} REPS=${REPS:-4} MINUTES=${MINUTES:-15}
WORKLOADS=${WORKLOADS-produce-64k produce-1m consume tail-5k synced-5k} WORKLOADS3=${WORKLOADS3-replicated-1m replicated-5k}
PORT=${PORT:-19092} KAFKA_PORT=${KAFKA_PORT:-19192} ZK=127.0.0.1:${ZK_PORT:-19281}
BENCH_FLAGS=${BENCH_FLAGS:-}
DIR=$(mktemp -d "${TMPDIR:-/tmp}/vs-kafka.XXXXXX")
pids=()
stop() {
  for p in ${pids[@]+"${pids[@]}"}; do kill "$p" 2>/dev/null || true; done
  for p in ${pids[@]+"${pids[@]}"}; do
    for _ in $(seq 100); do kill -0 "$p" 2>/dev/null || break; sleep 0.1; done # ten seconds to stop cleanly
    kill -9 "$p" 2>/dev/null || true
    wait "$p" 2>/dev/null || true
  done
  pids=()
}
finish() { stop; rm -rf "$DIR"; }
trap finish EXIT

say() { printf '%s\n' "$*" >&2; }
await() { # host:port what log
  for _ in $(seq 600); do
    if (exec 3<>"/dev/tcp/${1%:*}/${1#*:}") 2>/dev/null; then return; fi
    sleep 0.1
  done
  say "$2 does not listen on $1 after a minute:"; tail -n 20 "$3" >&2; exit 1
}

LIB=${KAFKA_LIB:-out/kafka-3.9.1}
if ! ls "$LIB"/kafka_2.13-*.jar >/dev/null 2>&1; then
  say "fetching Apache Kafka 3.9.1 into $LIB"
  mvn -q -f bench/vs-kafka/pom.xml dependency:copy-dependencies -DoutputDirectory="$(mkdir -p "$LIB" && cd "$LIB" && pwd)"
fi
cat > "$DIR/log4j.properties" <<'LOG'
log4j.rootLogger=WARN, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=[%d] %p %m (%c)%n
LOG
JAVA=(java "-Dlog4j.configuration=file:$DIR/log4j.properties" -cp "$LIB/*")

start() { # brokers
  local n=$1 d=$DIR/$1 i theirs=() ours=()
  mkdir -p "$d/zookeeper"
  printf 'tickTime=2000\ndataDir=%s\nclientPort=%s\nclientPortAddress=%s\nadmin.enableServer=false\n' "$d/zookeeper" "${ZK#*:}" "${ZK%:*}" > "$d/zoo.cfg"
  "${JAVA[@]}" -Xmx256m org.apache.zookeeper.server.quorum.QuorumPeerMain "$d/zoo.cfg" > "$d/zookeeper.log" 2>&1 & pids+=($!)
  await "$ZK" ZooKeeper "$d/zookeeper.log"
  GC=()
  for i in $(seq "$n"); do
    mkdir -p "$d/kafka-$i"
    printf 'broker.id=%s\nlisteners=PLAINTEXT://127.0.0.1:%s\nlog.dirs=%s\nzookeeper.connect=%s\nzookeeper.connection.timeout.ms=60000\noffsets.topic.replication.factor=%s\n' \
      "$i" $((KAFKA_PORT + i - 1)) "$d/kafka-$i" "$ZK" "$n" > "$d/server-$i.properties"
    "${JAVA[@]}" -Xms1g -Xmx1g -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -Xlog:gc:file="$d/gc-$i.log":time kafka.Kafka "$d/server-$i.properties" > "$d/kafka-$i.log" 2>&1 & pids+=($!)
    await "127.0.0.1:$((KAFKA_PORT + i - 1))" "Apache Kafka" "$d/kafka-$i.log" # one after the other: three JVMs at once starve each other
    theirs+=("127.0.0.1:$((KAFKA_PORT + i - 1))"); ours+=("127.0.0.1:$((PORT + i - 1))"); GC+=(--against-gc-log "$d/gc-$i.log")
  done
  bin/barnabas up --gc-trace --brokers "$n" --port "$PORT" --zookeeper-port 0 --dir "$d/barnabas" --log-level warn > "$d/barnabas.log" 2>&1 & pids+=($!)
  for i in $(seq "$n"); do
    await "${ours[i-1]}" Barnabas "$d/barnabas.log"
  done
  OURS=$(IFS=,; echo "${ours[*]}") THEIRS=$(IFS=,; echo "${theirs[*]}")
}

warm() { # workloads
  say "warming up: a JVM that has not compiled its hot path yet would be measured at a third of its speed"
  for w in "$@"; do
    for b in "$THEIRS" "$OURS"; do
      backlog=()
      [ "$w" != consume ] || backlog=(--set "consumers=[{mode: catchup, backlog: 512MiB, max_bytes: 16MiB}]")
      bin/barnabas bench "$w" --bootstrap "$b" --label warm-up --repetitions 1 --allow-noise --set phases.warmup=1s --set phases.measure=4s \
        ${backlog[@]+"${backlog[@]}"} --out "$DIR/warm" > /dev/null 2>&1 || true
    done
  done
}

pair() { # workload: seconds that a pair of repetitions takes, all told
  case $1 in
    tail-5k | replicated-5k) echo 42 ;;
    synced-5k) echo 32 ;;
    consume) echo 14 ;;
    *) echo 21 ;;
  esac
}
left() { echo $((60 * MINUTES - SECONDS)); }
done_=0 all=$(wc -w <<< "$WORKLOADS $WORKLOADS3")

compare() { # workloads
  local w n
  for w in "$@"; do
    done_=$((done_ + 1)) n=$(( ($(left) - 20) / $(pair "$w") ))
    [ "$n" -le "$REPS" ] || n=$REPS
    if [ "$n" -lt 2 ]; then say "== $w is left out: $(left) of $((60 * MINUTES)) seconds are left, and two pairs take $((2 * $(pair "$w")))"; continue; fi
    say "== $w ($done_ of $all), $n pairs, about $((n * $(pair "$w"))) s; $((SECONDS / 60)) min $((SECONDS % 60)) s of at most $MINUTES min are gone"
    # A workload all of whose repetitions are void is in the report as such: the others go on.
    timeout -s INT -k 30 "$(( $(left) + 10 ))" bin/barnabas bench compare "$w" --bootstrap "$OURS" --label Barnabas --against "$THEIRS" --against-label "Apache Kafka 3.9.1" \
      "${GC[@]}" --repetitions "$n" --out "$OUT" $BENCH_FLAGS || say "$w: exit code $?"
  done
}

say "at most $MINUTES minutes (MINUTES=…), up to $REPS pairs of each of: $WORKLOADS $WORKLOADS3"
SECONDS=0 # bash counts on from here
if [ -n "$WORKLOADS" ]; then
  say "starting one broker of each"
  start 1; warm produce-64k produce-64k consume; compare $WORKLOADS; stop
fi
if [ -n "$WORKLOADS3" ]; then
  say "starting three brokers of each"
  start 3; warm replicated-1m replicated-1m; compare $WORKLOADS3; stop
fi
[ -e "$OUT/report.html" ] || { say "nothing was measured"; exit 1; }
say "the report is $OUT/report.html, after $((SECONDS / 60)) min $((SECONDS % 60)) s"
