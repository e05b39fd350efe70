#!/usr/bin/env bash
# SLURM's accounting for start.sh, which calls this before slurmctld: MariaDB without a network, slurmdbd.
# Usage: start_accounting.sh FOLDER PORT. All state stands below FOLDER.
set -euo pipefail
folder=$1
port=$2
socket=$folder/mysql.sock
mkdir -p "$folder/mysql"
mariadb-install-db --no-defaults --user=root --datadir="$folder/mysql" --skip-test-db \
  --auth-root-authentication-method=socket > "$folder/log/mariadb-install.log" 2>&1
mariadbd --no-defaults --user=root --datadir="$folder/mysql" --socket="$socket" --skip-networking \
  --pid-file="$folder/mariadbd.pid" --log-error="$folder/log/mariadbd.log" \
  --innodb-buffer-pool-size=64M --innodb-log-file-size=16M --innodb-lock-wait-timeout=900 > /dev/null 2>&1 &

# wait_for COMMAND...: until it succeeds, 20 s at most.
wait_for() {
  for _ in $(seq 100); do
    "$@" > /dev/null 2>&1 && return
    sleep 0.2
  done
  echo "waited 20 s for: $*" >&2
  return 1
}
wait_for mariadb --no-defaults --socket="$socket" --execute="select 1"

(
  umask 077
  cat > "$folder/slurmdbd.conf" << CONF
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$port
SlurmUser=root
PidFile=$folder/slurmdbd.pid
LogFile=$folder/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_accounting
CONF
)
# slurmdbd looks for its configuration beside slurm.conf; the library takes the socket from this.
MYSQL_UNIX_PORT=$socket SLURM_CONF=$folder/slurm.conf slurmdbd
wait_for bash -c "exec 3<> /dev/tcp/127.0.0.1/$port"
