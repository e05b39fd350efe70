#!/usr/bin/env bash
# A real SLURM on this one machine, for tests: munged, slurmctld, slurmd, two pretend GPUs.
# Usage: start.sh FOLDER. Needs root, no systemd. All state stands below FOLDER, but for two links in
# /etc/slurm: a job step drops SLURM_CONF, so its clients read the configuration there.
# Where slurmdbd and MariaDB are installed jobs are accounted for, so that sacct works.
set -euo pipefail
folder=$1
host=$(hostname -s)
port=${SLURM_TEST_PORT:-16817}

# Links that a killed test left are replaced; a cluster that runs, or a real one's file, is not touched.
is_running() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2> /dev/null; }
other=$(readlink /etc/slurm/slurm.conf || true)
if [ -e /etc/slurm/slurm.conf ] && { [ -z "$other" ] || is_running "$(dirname "$other")/slurmctld.pid"; }; then
  echo "another SLURM is configured at /etc/slurm/slurm.conf" >&2
  exit 3
fi
mkdir -p "$folder"/{munge,state,spool,log,dev} /etc/slurm
chmod 755 "$folder" "$folder/munge"

[ -s "$folder/munge/key" ] || (umask 077 && head -c 128 /dev/urandom > "$folder/munge/key")
# --force: a folder above may be writable by all, as /tmp is.
munged --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" \
  --pid-file="$folder/munged.pid" --log-file="$folder/log/munged.log" --seed-file="$folder/munge/seed"

# A pretend GPU is a device with the numbers of /dev/null: SLURM counts and allots devices, no more.
for gpu in 0 1; do
  [ -e "$folder/dev/gpu$gpu" ] || mknod "$folder/dev/gpu$gpu" c 1 3
done
echo "NodeName=lab Name=gpu Type=pretend File=$folder/dev/gpu[0-1]" > "$folder/gres.conf"

cat > "$folder/slurm.conf" <<CONF
ClusterName=lab
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CredType=cred/munge
SlurmctldPort=$port
SlurmdPort=$((port + 1))
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
# Without systemd there are no cgroups: processes are found by their parents, memory is sampled.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
# More CPUs and memory may be claimed than the machine has.
SlurmdParameters=config_overrides
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
MinJobAge=900
KillWait=5
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=lab NodeHostname=$host NodeAddr=127.0.0.1 CPUs=8 RealMemory=200000 Gres=gpu:pretend:2 State=UNKNOWN
PartitionName=gpu Nodes=lab Default=YES MaxTime=UNLIMITED DefMemPerCPU=500 State=UP PriorityTier=1
PartitionName=cpu Nodes=lab MaxTime=UNLIMITED DefMemPerCPU=500 State=UP PriorityTier=1
# Its jobs take GPUs from those of the others, which go back into the queue.
PartitionName=high Nodes=lab MaxTime=UNLIMITED DefMemPerCPU=500 State=UP PriorityTier=10 PreemptMode=OFF
CONF
if type slurmdbd mariadbd mariadb-install-db > /dev/null 2>&1; then
  cat >> "$folder/slurm.conf" << CONF
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort=$((port + 2))
AccountingStoragePass=$folder/munge/socket
AccountingStorageTRES=gres/gpu
CONF
  bash "$(dirname "$0")/start_accounting.sh" "$folder" $((port + 2))
else
  echo "AccountingStorageType=accounting_storage/none" >> "$folder/slurm.conf"
fi
ln -sfn "$folder/slurm.conf" /etc/slurm/slurm.conf
ln -sfn "$folder/gres.conf" /etc/slurm/gres.conf

export SLURM_CONF=$folder/slurm.conf
slurmctld -f "$folder/slurm.conf" -c
slurmd -f "$folder/slurm.conf" -N lab
deadline=$((SECONDS + 30))
while is_running "$folder/slurmctld.pid" && [ $SECONDS -lt $deadline ]; do
  if timeout 5 sinfo -h -N -o %t 2> /dev/null | grep -q '^idle$'; then
    exit 0
  fi
  sleep 0.2
done
echo "the node did not come up" >&2
grep -h -E 'error|fatal' "$folder"/log/*.log >&2
exit 1
