#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# redis-cli and redis-benchmark, as they come with Redis, against the gateway.
# Usage: tools.sh FAKE-NODE
set -u
dir=$(mktemp -d)
sock=$dir/node.sock
mkfifo "$dir/in"
"$1" "$sock" <"$dir/in" >"$dir/out" &
node=$!
exec 3>"$dir/in"
failed=0

cleanup() {
	exec 3>&-
	wait "$node"
	rm -rf "$dir"
}
trap cleanup EXIT

if ! timeout 30 tail -n +1 -f --pid="$node" "$dir/out" 2>/dev/null | grep -q -m 1 ready; then
	echo "FAILED: the node does not start"
	exit 1
fi

cli() {
	timeout 60 redis-cli -s "$sock" "$@"
}

# expect NAME EXPECTED ACTUAL
expect() {
	if [[ "$3" == *"$2"* ]]; then
		echo "ok: $1"
	else
		echo "FAILED: $1: awaited \"$2\", came \"$3\""
		failed=1
	fi
}

expect 'redis-cli pings' PONG "$(cli ping)"
expect 'redis-cli adds a device' OK "$(cli device.add d2)"
expect 'redis-cli adds a flow' 0x0000 "$(cli flow.add d1 'ip, nw_src=10.0.0.1,actions=drop')"
expect 'redis-cli reads it' PENDING_ADD "$(cli flow.get d1 'ip, nw_src=10.0.0.1')"
expect 'redis-cli shows a map in RESP3' 'state PENDING_ADD' \
	"$(cli -3 flow.get d1 'ip, nw_src=10.0.0.1')"
expect 'redis-cli shows errors' 'BADFLOW column 1: no such field: bad' \
	"$(cli flow.add d1 'bad=1,actions=drop')"
expect 'redis-cli starts without complaint and helps' 'Stores a flow' \
	"$(echo 'help flow.add' | cli 2>&1)"
expect 'redis-cli speaks in a session' $'d1\nd2' "$(echo 'device.list' | cli 2>&1)"

for i in $(seq 20000); do
	echo "FLOW.ADD d1 cookie=$i,ip,actions=drop"
done >"$dir/inline"
expect 'redis-cli --pipe takes inline commands' 'errors: 0, replies: 20000' \
	"$(cli --pipe <"$dir/inline" 2>&1)"
expect 'all of them are there' 20001 "$(cli flow.count d1)"

for i in $(seq 20000); do
	flow="cookie=$i,arp,actions=drop"
	printf '*3\r\n$8\r\nFLOW.ADD\r\n$2\r\nd1\r\n$%d\r\n%s\r\n' ${#flow} "$flow"
done >"$dir/arrays"
expect 'redis-cli --pipe takes arrays' 'errors: 0, replies: 20000' \
	"$(cli --pipe <"$dir/arrays" 2>&1)"
expect 'all of these too' 40001 "$(cli flow.count d1)"

bench() {
	timeout 120 redis-benchmark -s "$sock" -q "$@" 2>&1 | tr '\r' '\n'
}
expect 'redis-benchmark pings' 'requests per second' "$(bench -n 20000 -t ping -P 16)"
out=$(bench -n 20000 -P 64 -r 100000 flow.add d1 'ip,nw_src=__rand_int__,actions=drop')
expect 'redis-benchmark adds flows' 'requests per second' "$out"
[[ "$out" == *rror* ]] && expect 'without an error' 'no error' "$out"
expect 'and has no warning about CONFIG' 0 "$(bench -n 10 -t ping | grep -ci warning)"
exit $failed
