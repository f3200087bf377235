#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# weirctl against a gateway with a false store behind it.
# Usage: weirctl.sh FAKE-NODE WEIRCTL
set -u
dir=$(mktemp -d)
sock=$dir/node.sock
ctl=$(realpath "$2")
here=$(dirname "$(realpath "$0")")
mkfifo "$dir/in"
"$1" "$sock" <"$dir/in" >"$dir/started" &
node=$!
exec 3>"$dir/in"
failed=0

cleanup() {
	exec 3>&-
	wait "$node"
	rm -rf "$dir"
}
trap cleanup EXIT

if ! timeout 30 tail -n +1 -f --pid="$node" "$dir/started" 2>/dev/null | grep -q -m 1 ready; then
	echo "FAILED: the node does not start"
	exit 1
fi
cd "$dir" || exit 1

# run STATUS ARGS...: runs weirctl; what it printed stands in $out and $err
run() {
	local want=$1 status
	shift
	timeout 60 "$ctl" -s "$sock" "$@" >out 2>err </dev/null
	status=$?
	out=$(cat out) err=$(cat err)
	if [[ $status != "$want" ]]; then
		echo "FAILED: weirctl $*: exit status $status instead of $want: $out $err"
		failed=1
	fi
}

# has NAME TEXT PART...: each part stands in the text
has() {
	local name=$1 text=$2 part
	shift 2
	for part in "$@"; do
		if [[ "$text" != *"$part"* ]]; then
			echo "FAILED: $name: awaited \"$part\" in \"$text\""
			failed=1
			return
		fi
	done
	echo "ok: $name"
}

# json NAME EXPRESSION VALUE: what a Python expression makes of the JSON printed last (as j)
json() {
	has "$1" "$(python3 -c "import json, sys; j = json.load(sys.stdin); print($2)" <out 2>&1)" "$3"
}

run 0 nodes
has 'nodes are listed' "$out" n1 live n2 dead 10.0.0.2:7000
run 0 nodes --json
json 'nodes as JSON' 'j[1]["node"], j[1]["live"]' 'n2 False'
run 0 device-add s1
run 1 device-add s1
has 'a device is added once' "$err" EXISTS
run 0 devices
has 'devices are listed' "$out" d1 s1 0x0000000000000abc
run 0 devices s1 --json
json 'one device as JSON' 'len(j), j[0]["device"], j[0]["open"], j[0]["insync"]' \
	"1 s1 True ['n2']"
run 0 masters --json
json 'masters as JSON' 'j[0]["device"], j[0]["master"], j[0]["backups"]' "d1 n2 ['n3']"
run 0 masters
has 'masters are listed' "$out" d1 n2 n3
run 0 roles
has 'roles are listed' "$out" 'd1: n2 master (in sync), n3 standby'
run 0 roles --json
json 'roles as JSON' 'j[0]["standby"]' "['n3']"
run 0 device-role d1 n1 standby
run 1 device-role d1 n9 master
run 1 device-role d1 n1 boss
has 'a wrong role is refused with the right ones' "$err" 'master|standby|none'

run 0 add-flow d1 'ip,nw_src=10.0.0.1,actions=drop'
has 'a flow is added' "$out" 0x0000
run 1 add-flow d1 'ip,bad=1,actions=drop'
has 'a bad flow is told with its column' "$err" 'BADFLOW column 4: no such field: bad'
run 1 add-flow nosuch 'ip,actions=drop'
has 'an unknown device is told' "$err" NODEVICE
run 0 flows d1
has 'flows are listed' "$out" 'd1:' state=PENDING_ADD n_packets=0 nw_src=10.0.0.1
run 0 flows -s -n d1
has 'flows are listed as text' "<$out>" '<    ip,nw_src=10.0.0.1,actions=drop>'
run 0 flows -c PENDING_ADD
has 'flows are counted' "$out" 'd1: 1 flows' 's1: 0 flows'
run 0 flows -c any --json
json 'counts as JSON' 'j[0]["count"], j[1]["count"]' '1 0'
run 0 flows --json added
json 'flows of a state as JSON' 'j[0]["flows"]' '[]'
run 0 flows --json d1 --local
json 'flows as JSON' 'j[0]["flows"][0]["state"]' PENDING_ADD
run 0 del-flow d1 'ip,nw_src=10.0.0.1'
run 1 del-flow d1 'ip,nw_src=10.0.0.2'
has 'an absent flow is told' "$err" NOTFOUND
run 0 purge d1
has 'a purge says how many went' "$out" 1
run 0 purge d1 7 --json
json 'a purge of an app as JSON' 'j["removed"]' 1
run 2 purge
run 1 purge s1 app

{
	printf '# a comment\n\n'
	for i in $(seq 3 6000); do
		echo "cookie=$i,ip,nw_src=10.1.$((i / 250)).$((i % 250)),actions=output:$((i % 9 + 1))"
	done
} >flows
gzip -k flows
run 0 add-flows --acked-log acked s1 flows
has 'a file is added' "$out" 'sent 5998, acknowledged 5998, refused 0' 'failovers 0' 'flows/s'
has 'without progress where there is no terminal' "<$err>" '<>'
has 'each acknowledged line is logged' "$(sort -n acked | sed -n '1p;$p' | xargs; wc -l <acked)" \
	'3 6000' 5998
run 0 add-flows --json --pipeline 16 s1 flows.gz
json 'a compressed file is added' 'j["sent"], j["acknowledged"], j["refused"], j["resent"]' \
	'5998 5998 0 0'
run 0 add-flows --progress s1 flows
has 'progress is shown where asked for' "$err" '100 %' '5998 acknowledged'
run 0 verify s1 flows
has 'the store is held against a file' "$out" 'found 5998, missing 0'
run 0 verify --json --acked acked s1 flows
json 'and against the acknowledged lines' 'j["acknowledged"], j["missing"], j["foreign"]' \
	'5998 0 0'
run 0 dump-flows s1
sort out >dumped
grep -v '^#' flows | grep . | sort | cmp - dumped && echo 'ok: a dump gives the file back'

sed 's/^cookie=7,\(.*\)output:.*/cookie=7,\1drop/; s/^cookie=8,/cookie=8,tcp,/' flows >changed
run 1 verify --json s1 changed
json 'other content is missing' 'j["found"], j["missing"]' '5996 2'
has 'and told by line' "$err" 'changed:7:' 'changed:8:'
printf '7\n8\n9\n' >some
run 1 verify --json --acked some s1 changed
json 'only acknowledged lines count' 'j["acknowledged"], j["found"], j["missing"]' '3 1 2'
printf '9\n10\n' >some
run 0 verify --acked some s1 changed
echo x >some
run 1 verify --acked some s1 changed
has 'a log that is none is told' "$err" 'some:1:1: this is no line number'

printf 'ip,nw_src=1.1.1.1,actions=drop\n  \tip,bad=1,actions=drop\r\n# x\nip,actions=drop\nip' |
	timeout 60 "$ctl" -s "$sock" add-flows d1 - >out 2>err
status=$?
has 'bad lines are told by place, the others go on' "$status $(cat err out)" '1 ' \
	'-:2:7: no such field: bad' '-:5:3: actions= is missing' \
	'sent 4, acknowledged 2, refused 2'
head -c 20000 /dev/zero | tr '\0' x >long
printf '\nip,nw_src=3.3.3.3,actions=drop\n' >>long
run 1 add-flows d1 long
has 'a line that is too long is told' "$err$out" 'long:1:1: the line is too long' \
	'acknowledged 1' 'bad lines 1'
head -c 3000 flows.gz >torn.gz
run 1 add-flows s1 torn.gz
has 'a torn file is told' "$err" 'cannot read torn.gz'
printf 'ip,nw_src=5.5.5.5,actions=output:43\n' | gzip | head -c -12 >torn.gz
run 1 add-flows s1 torn.gz
has 'a line that was torn is not sent' "$out" 'sent 0'
run 1 add-flows s1 nosuch
has 'a missing file is told' "$err" 'cannot read nosuch: No such file'
run 1 add-flows s1 .
has 'a folder is told' "$err" 'Is a directory'
printf 'garbage\n' >garbage
run 1 verify s1 garbage
has 'a line that is no flow is not there' "$out" 'bad lines 1'
run 2 flows bogus s1
has 'two devices are too many' "$err" 'bogus' 's1'
run 1 add-flows --acked-log /nosuch/log s1 flows
has 'a log that cannot be written is told' "$err" 'cannot write /nosuch/log'
run 1 add-flows --json nosuch flows
json 'an unknown device ends it' 'j["refused"] > 0 and j["sent"] < 5998, j["acknowledged"]' 'True 0'
has 'and is told' "$err" 'no such device'
run 0 del-flows s1 flows
run 0 flows -c PENDING_REMOVE s1
has 'a file is removed' "$out" 's1: 5998 flows'

# The false node's counters grow evenly: so much a second, whatever the machine does meanwhile.
run 0 top -d 0.2 -n 2
has 'top shows what each node does' "$out" 'every 0.2 s: 1 of 1 nodes answer' \
	'n1: master of 2, standby of 0' 'worker 0   25.0' 'worker 1   25.0' 'all        25.0' '2500 ns'
has 'once a period' "$(grep -c 'nodes answer' out)" 2
run 0 --json top -d 0.2 -n 3
has 'top prints a line a period as JSON' "$(wc -l <out)" 3
head -1 out >line && mv line out
json 'of the node' 'j["nodes"][0]["node"], j["nodes"][0]["devices_master"]' 'n1 2'
json 'with rates of its workers' '[(w["worker"], round(w["busy_share"], 2),
	round(w["operations_per_s"], -3), round(w["answers_ok_per_s"], -3),
	round(w["tx_bytes_per_s"], -4), round(w["rx_bytes_per_s"], -4), round(w["operation_ns"], -1),
	w["tasks_waiting"], w["tasks_queued"], w["writes_pending"], w["memory_used_bytes"])
	for w in j["nodes"][0]["workers"]][1]' \
	'(1, 0.25, 100000.0, 40000.0, 1000000.0, 2000000.0, 2500.0, 3, 4, 5, 6000000)'
json 'and their sum' 'round(j["nodes"][0]["operations_per_s"], -3), j["nodes"][0]["writes_pending"]' \
	'200000.0 10'
sock=$dir/nobody.sock,$dir/node.sock
run 0 top -d 0.1 -n 1
has 'a node that does not answer is told among others' "$out" '1 of 2 nodes answer' \
	'nobody.sock: no answer' 'n1: master of 2'
# script ANSWER...: a node that answers with these, one after the other, from now on
script() {
	coproc python3 "$here/scripted.py" "$dir/scripted.sock" "$@"
	read -r -t 30 <&"${COPROC[0]}"
	sock=$dir/scripted.sock
}
script_end() {
	exec {COPROC[1]}>&-
	wait "$COPROC_PID"
}
script 'node:n7\nworkers:1\nworker0:run_ns=9000000000,busy_ns=8000000000,operations=5000000' \
	'node:n7\nworkers:1\nworker0:run_ns=2000000000,busy_ns=500000000,operations=1000'
run 0 --json top -d 0.1 -n 1
json 'a node that has begun anew counts from nothing' \
	'[(n["node"], n["busy_share"], n["operations_per_s"], n["operation_ns"]) for n in j["nodes"]]' \
	"[('n7', 0.25, 500.0, 500000.0)]"
script_end
script '-NOAUTH first say who you are'
run 3 top -n 1
has 'an error of the node is told' "$err" 'NOAUTH first say'
script_end
script 'node:n7' '-ERR no' ',=:=,\nworkers:4000000000\nworker0:run_ns' ''
run 0 --json top -d 0.1 -n 3
has 'what is no INFO does no harm' "$(cat out)" '"answers":false,"error":"ERR no"' '"node":"?"'
run 0 top -d 0.1 -n 1
script_end

sock=$dir/node.sock
for wrong in '-d 0' '-d x' '-d nan' '-d 3601' '-n 0' '-n x' '-n -1' extra; do
	# shellcheck disable=SC2086
	run 2 top $wrong
done
has 'wrong periods and counts are told with the right ones' \
	"$(for o in -d -n; do timeout 60 "$ctl" -s "$sock" top $o x 2>&1; done)" \
	'-d is a number of seconds from 0.1 to 3600' '-n is a number from 1'
for key in q '\x03'; do
	has "on a terminal top draws in place and ends on $key" \
		"$(timeout 60 python3 "$here/terminal.py" "$key" "$ctl" -s "$sock" top \
			-d 0.1 2>&1)" \
		'exit status 0' 'drawn in place' 'cursor shown' 'terminal as before'
done

run 2
has 'no verb: usage' "$err" 'usage: weirctl' add-flows
run 2 fly
has 'an unknown verb' "$err" 'no such verb: fly'
run 2 add-flow d1
has 'missing arguments are told with the syntax' "$err" 'add-flow DEVICE FLOW'
run 2 nodes extra
run 2 flows --pipeline 0
has 'a wrong number is told with the right ones' "$err" '--pipeline is a number from 1 to 8192'
run 2 flows -x
run 2 --nonsense nodes
run 0 --help
has 'help is there' "$out" 'Exit status'
run 0 --version
sock=$dir/nobody.sock
run 3 nodes
has 'no answer is told' "$err" 'no answer' 'nobody.sock'
run 3 top -n 1
has 'by top too' "$err" 'no answer' 'nobody.sock'
run 3 --timeout 300 add-flows d1 flows
has 'by add-flows too' "$err$out" 'no answer' 'acknowledged 0'
sock=,
run 3 nodes
has 'no socket at all is told' "$err" 'no socket is named'
run 3 top
has 'by top too' "$err" 'no socket is named'
out=$(WEIR_SOCKET=$dir/nobody.sock,$dir/node.sock timeout 60 "$ctl" nodes)
has 'the environment names sockets' "$out" n1
exit $failed
