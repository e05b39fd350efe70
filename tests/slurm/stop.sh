#!/usr/bin/env bash
# Stop what start.sh started below FOLDER, by process id, and remove its two links.
folder=$1
[ -e "$folder/slurm.conf" ] && SLURM_CONF=$folder/slurm.conf timeout 20 scancel --user=root --full 2> /dev/null
for name in slurmd slurmctld slurmdbd mariadbd munged; do
  [ -s "$folder/$name.pid" ] || continue
  pid=$(cat "$folder/$name.pid")
  kill "$pid" 2> /dev/null
  for _ in $(seq 50); do
    kill -0 "$pid" 2> /dev/null || break
    sleep 0.1
  done
done
for name in slurm gres; do
  if [ "$(readlink "/etc/slurm/$name.conf")" = "$folder/$name.conf" ]; then
    rm "/etc/slurm/$name.conf"
  fi
done
