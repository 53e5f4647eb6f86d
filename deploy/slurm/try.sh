#!/bin/bash
# Tries soak.sbatch for real on one machine: a Slurm cluster of one node on the loopback interface (Debian: slurm-wlm
# munge), an array of three shards, and their merged report. Everything lives below one directory, which is removed; the
# daemons are started here and ended here, by their ids. It must be run as root, as slurmd must.
#
#   deploy/slurm/try.sh            # BARNABAS=bin/barnabas FOR=20s
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
barnabas=$(realpath "${BARNABAS:-bin/barnabas}")
for tool in slurmctld slurmd sbatch munged; do
  command -v "$tool" >/dev/null || { echo "try.sh: $tool is not installed; apt-get install slurm-wlm munge" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "try.sh: run it as root: slurmd must be able to change users" >&2; exit 1; }
dir=$(mktemp -d /tmp/barnabas-slurm.XXXXXX)
chmod 755 "$dir"
pids=()
finish() {
  for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
  for p in "${pids[@]}"; do wait "$p" 2>/dev/null || true; done
  rm -rf "$dir"
}
trap finish EXIT

host=$(hostname -s)
port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
ctl=$(port) node=$(port)
mkdir -p "$dir/state" "$dir/spool" "$dir/munge" "$dir/out"
dd if=/dev/urandom of="$dir/munge/key" bs=1024 count=1 status=none
chown -R munge: "$dir/munge"; chmod 700 "$dir/munge"; chmod 400 "$dir/munge/key"
mkdir -p "$dir/run"; chown munge: "$dir/run"; chmod 755 "$dir/run"
runuser -u munge -- munged --foreground --key-file="$dir/munge/key" --socket="$dir/run/munge.socket" --pid-file="$dir/run/munged.pid" \
  --log-file="$dir/munge/log" --seed-file="$dir/munge/seed" --num-threads=1 >/dev/null 2>&1 &
pids+=($!)
cat > "$dir/slurm.conf" <<CONF
ClusterName=barnabas
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmctldPort=$ctl
SlurmdPort=$node
AuthType=auth/munge
AuthInfo=socket=$dir/run/munge.socket
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=night Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$dir/slurm.conf
for _ in $(seq 50); do [ -S "$dir/run/munge.socket" ] && break; sleep 0.1; done
slurmctld -D -i > "$dir/slurmctld.log" 2>&1 & pids+=($!)
slurmd -D > "$dir/slurmd.log" 2>&1 & pids+=($!)
for _ in $(seq 100); do sinfo -h -o %T 2>/dev/null | grep -q idle && break; sleep 0.2; done
sinfo || { tail -5 "$dir"/slurm*.log >&2; exit 1; }

job=$(FOR=${FOR:-20s} OUT=$dir/out BARNABAS=$barnabas SCENARIOS=${SCENARIOS:-leader-failover} \
  sbatch --parsable --array=1-3 --chdir="$dir" --output="$dir/out/%a.log" "$here/soak.sbatch")
echo "array job $job"
for _ in $(seq 600); do [ -z "$(squeue -h -j "$job" 2>/dev/null)" ] && break; sleep 0.5; done
tail -n 4 "$dir"/out/*.log
"$barnabas" report merge "$dir"/out/shard-* --out "$dir/night"
head -20 "$dir/night/summary.md"
