#!/usr/bin/env bash
# What a node takes in memory with many SKUs and many live holds, and how long it starts.
#
#     docs/benchmarks/footprint.sh [BINARY] [SKUS] [HOLDS] [CONNECTIONS]
#
# Three nodes on this machine, with directories of their own under TMPDIR, which are removed at the end. `lastunit bench
# batch` puts SKUS of a million units (each put with an idempotency key of 36 characters, as the client crate sends it),
# then takes HOLDS of one unit for half an hour, each for a cart of its own, 1,000 in a call, without keys and without
# customers, over CONNECTIONS. Then all nodes are stopped and started at once, and then one alone beside the two others.
# Printed, for each node and in MiB: what is resident after each step, of that what no file backs, and the most until then.
set -euo pipefail

binary=$(realpath "${1:-target/release/lastunit}")
skus=${2:-1000000} holds=${3:-1000000} connections=${4:-2}
port=${FOOTPRINT_PORT:-8600}
dir=$(mktemp -d)
declare -A pids

cleanup() {
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$dir"
}
trap cleanup EXIT

cd "$dir"
{
    printf '[cluster]\nname = "footprint"\n'
    for id in 1 2 3; do
        printf '\n[[node]]\nid = %d\nhttp = "127.0.0.1:%d"\n' "$id" $((port + id))
        printf 'raft = "127.0.0.1:%d"\ndata_dir = "data/%d"\n' $((port + 10 + id)) "$id"
    done
} >cluster.toml

start() {
    "$binary" serve --config cluster.toml --node "$1" 2>>"node-$1.log" &
    pids[$1]=$!
}

# Asks SIGTERM's way, which writes the checkpoint.
stop() {
    kill -TERM "${pids[$1]}"
    wait "${pids[$1]}" || true
}

# Waits until a node is ready; fails where it is not within ten minutes, or has ended.
ready() {
    for _ in $(seq 6000); do
        if [ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$((port + $1))/readyz")" = 200 ]; then
            return
        fi
        kill -0 "${pids[$1]}"
        sleep 0.1
    done
    return 1
}

now() { date +%s.%N; }
since() { awk -v from="$1" -v to="$(now)" 'BEGIN { printf "%.1f", to - from }'; }

resident() {
    for id in 1 2 3; do
        awk -v id="$id" -v step="$1" '{ kib[$1] = $2 } END {
            printf "%-28s node %d: %5d MiB resident, %5d of it in no file, at most %5d so far\n",
                step, id, kib["VmRSS:"] / 1024, kib["RssAnon:"] / 1024, kib["VmHWM:"] / 1024
        }' "/proc/${pids[$id]}/status"
    done
}

# While it is filled, every ten seconds.
watch() {
    while sleep 10; do resident "filling, after ${SECONDS} s"; done
}

for id in 1 2 3; do start "$id"; done
for id in 1 2 3; do ready "$id"; done
resident "empty"
watch &
pids[watch]=$!
"$binary" bench batch --cluster cluster.toml --skus "$skus" --count $((holds / 1000)) --connections "$connections" \
    --ttl 1500 --warm-up 0s >bench.log 2>&1 || { echo "the filling failed:"; tail -5 bench.log; }
kill "${pids[watch]}"
unset 'pids[watch]'
resident "filled"
sleep 30
resident "30 s later"
du -sm data/* | awk '{ printf "%-28s %s: %d MiB\n", "on disk", $2, $1 }'

for id in 1 2 3; do stop "$id"; done
from=$(now)
for id in 1 2 3; do start "$id"; done
for id in 1 2 3; do ready "$id"; done
echo "all three started anew, ready after $(since "$from") s"
resident "started anew"

stop 3
from=$(now)
start 3
ready 3
echo "one started anew, ready after $(since "$from") s"
grep -h "WARN\|ERROR" node-*.log | cut -c1-200 | sort | uniq -c | sort -rn | head -10 || true
