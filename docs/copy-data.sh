#!/usr/bin/env bash
# Copies all data of one Redis into another: bash copy-data.sh OLD:PORT NEW:PORT
#
# Needs redis-server and redis-cli of the new version, room for the data in memory
# and twice on disk, a new Redis without any data, and nobody who writes to either
# of them meanwhile. Passwords are taken from OLD_PASS and NEW_PASS.
set -euo pipefail
old=$1 new=$2
dir=$(mktemp -d)
cd "$dir"
# cli PASSWORD ARGUMENT...; an empty password is none.
cli() (
  [ -z "$1" ] || export REDISCLI_AUTH=$1
  exec redis-cli -e "${@:2}"
)
new() { cli "${NEW_PASS-}" -h "${new%:*}" -p "${new##*:}" "$@"; }
between() { redis-cli -e -s "$dir/socket" "$@"; }
finish() {
  kill %1 2> /dev/null && wait || true
  rm -rf "$dir"
}
trap finish EXIT

held=$(new info keyspace)
if [[ $held == *db[0-9]* ]]; then
  echo "$new holds data already: ${held//$'\r'/}" >&2
  exit 1
fi

# The old data as a replica gets them; any newer version can read that.
cli "${OLD_PASS-}" -h "${old%:*}" -p "${old##*:}" --rdb dump.rdb
redis-server --port 0 --unixsocket "$dir/socket" --dir "$dir" --save "" > log &
until between ping > /dev/null 2>&1; do
  kill -0 $! 2> /dev/null || { cat log >&2; exit 1; }
  sleep 0.1
done

# The same data as commands, with which the new Redis and its replicas can go on working.
between config set aof-use-rdb-preamble no > /dev/null
between config set appendonly yes > /dev/null
until between info persistence | grep -q "aof_rewrite_in_progress:0"; do sleep 0.1; done
cat appendonlydir/*.base.aof appendonlydir/*.incr.aof |
  new --pipe
