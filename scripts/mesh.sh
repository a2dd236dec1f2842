#!/usr/bin/env bash
# Shows a mesh: a bootstrap node, and N nodes (default 5) that know its address and a
# secret, and nothing of each other. They find each other in the DHT, trust each other
# for the secret, and what one writes is soon on all. Then one makes its timeline public,
# and a node without the secret finds by whom it can be had, and fetches it.
#
#   scripts/mesh.sh [N]
#   IDLE=300 scripts/mesh.sh 30   measures before that for 300 seconds what a node costs
#                                 that has nothing to do; fails if it is too much
#
# All run on the loopback interface of this machine, with data directories that are
# removed at the end. Needs Go; with IDLE root, Linux and the program ip, since all then run
# in a network namespace of their own, where the bytes on its loopback interface are theirs.
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:-5}
case $count in
*[!0-9]* | '' | 0 | 1) echo "usage: scripts/mesh.sh [N], with N from 2 to 50" >&2 && exit 2 ;;
esac
if [ "$count" -gt 50 ]; then
	echo "one machine is not enough for more than 50 nodes" >&2
	exit 2
fi

idle=${IDLE:-0}
if [ "$idle" != 0 ] && [ -z "${MESH_NAMESPACE:-}" ]; then
	MESH_NAMESPACE=1 exec unshare -n sh -c 'ip link set lo up && exec "$0" "$@"' "$PWD/scripts/mesh.sh" "$count"
fi

work=$(mktemp -d)
pids=()
stop() {
	trap - EXIT
	[ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
	wait
	rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM

echo "building ibgib-node"
go build -o "$work/ibgib-node" ./cmd/ibgib-node
cd "$work"
PATH=$work:$PATH

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { # NAME FLAG...: runs a node until the end; its ready line is in NAME.out
	local name=$1
	shift
	ibgib-node run --data "$name" --no-mdns --listen /ip4/127.0.0.1/tcp/0 "$@" >"$name.out" 2>"$name.log" &
	pids+=($!)
}
wait_until() { # WHAT COMMAND...: waits until a command succeeds
	local what=$1 began=$SECONDS
	shift
	until "$@"; do
		if [ $((SECONDS - began)) -gt 180 ]; then
			echo "not within three minutes: $what" >&2
			exit 1
		fi
		sleep 0.2
	done
}
is_ready() { grep -q '^ready ' "$1.out"; }
field() { ibgib-node status --data "$1" | awk -v name="$2" '$1 == name { $1 = ""; print substr($0, 2) }'; }
knows_all() { # NODE: it is connected with all others
	field "$1" peers | grep -q "^$((count - 1)) trusted, $((count - 1)) of them connected"
}
in_step() { # all have what the first one has
	local first i
	first=$(field node1 fingerprint)
	for i in $(seq 2 "$count"); do
		[ "$(field "node$i" fingerprint)" = "$first" ] || return 1
	done
}
finds() { ibgib-node find "$1" --data stranger >found 2>/dev/null; }
fetches() { ibgib-node fetch "$1" --data stranger >fetched 2>/dev/null; }

# What an idle node of a mesh of 30 may cost at most, a minute: far above what is measured,
# and far below what would be felt.
most_cpu=1500 # milliseconds of processor time
most_memory=$((256 << 10)) # KiB resident
most_bytes=$((1 << 20)) # of all its connections
cpu() { # PID: milliseconds of processor time so far
	awk -v hz="$(getconf CLK_TCK)" '{ print int(($14 + $15) * 1000 / hz) }' "/proc/$1/stat"
}
memory() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$1/status"; }
bytes() { awk '$1 == "lo:" { print $2 }' /proc/net/dev; }
measure_idle() { # SECONDS: what the nodes cost in this time, the bootstrap node apart
	local before=() sent pid i used=0 kib=0 worst=0 per n=$((${#pids[@]} - 1))
	for pid in "${pids[@]:1}"; do before+=("$(cpu "$pid")"); done
	sent=$(bytes)
	sleep "$1"
	sent=$(($(bytes) - sent))
	for i in $(seq 0 $((n - 1))); do
		pid=${pids[$((i + 1))]}
		per=$((($(cpu "$pid") - before[i]) * 60 / $1))
		used=$((used + per))
		[ "$per" -le "$worst" ] || worst=$per
		kib=$((kib + $(memory "$pid")))
	done
	# Each byte is sent by one and received by another.
	local a=$((used / n)) b=$((kib / n)) c=$((2 * sent * 60 / $1 / (n + 1)))
	echo "a node, a minute: $a ms of processor time (the busiest $worst), $c bytes sent and received; $((b / 1024)) MiB of memory"
	[ "$worst" -le "$most_cpu" ] && [ "$b" -le "$most_memory" ] && [ "$c" -le "$most_bytes" ] || {
		echo "that is too much for a node that has nothing to do" >&2
		exit 1
	}
}

say "A bootstrap node"
run boot --role bootstrap
wait_until "the bootstrap node is ready" is_ready boot
way=$(cut -d' ' -f3 boot.out)
echo "$way"

say "$count nodes of one mesh, and a stranger"
ibgib-node mesh-secret secret >/dev/null
for i in $(seq "$count"); do run "node$i" --mesh-secret secret --bootstrap "$way"; done
run stranger --bootstrap "$way"
began=$SECONDS
for i in $(seq "$count"); do wait_until "node$i is ready" is_ready "node$i"; done
for i in $(seq "$count"); do wait_until "node$i is connected with all others" knows_all "node$i"; done
echo "each is connected with the $((count - 1)) others after $((SECONDS - began)) s"

if [ "$idle" != 0 ]; then
	say "Nothing to do for $idle s, after a minute of rest"
	sleep 60
	measure_idle "$idle"
fi

say "A note is written on the first one"
began=$SECONDS
head=$(ibgib-node new note --set '{"text":"hello"}' --data node1)
echo "$head"
wait_until "all nodes have it" in_step
echo "all have it after $((SECONDS - began)) s"

say "The last one makes it public, and the stranger finds who has it"
began=$SECONDS
ibgib-node provide "$head" --data "node$count"
wait_until "the stranger finds it" finds "$head"
cat found
echo "found after $((SECONDS - began)) s"
wait_until "the stranger fetches it" fetches "$head"
cat fetched
echo "fetched after $((SECONDS - began)) s, though nobody trusts it"

say "The bootstrap node, which has none of it"
ibgib-node status --data boot
