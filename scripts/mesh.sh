#!/usr/bin/env bash
# Shows a mesh: a bootstrap node, and N nodes (default 5) that know its address and a
# secret, and nothing of each other. They find each other in the DHT, trust each other
# for the secret, and what one writes is soon on all. Then one announces its timeline,
# and a node without the secret finds by whom it can be had.
#
#   scripts/mesh.sh [N]
#
# All run on the loopback interface of this machine, with data directories that are
# removed at the end. Needs Go.
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

say "A note is written on the first one"
began=$SECONDS
head=$(ibgib-node new note --set '{"text":"hello"}' --data node1)
echo "$head"
wait_until "all nodes have it" in_step
echo "all have it after $((SECONDS - began)) s"

say "The last one announces it, and the stranger finds who has it"
began=$SECONDS
ibgib-node provide "$head" --data "node$count"
wait_until "the stranger finds it" finds "$head"
cat found
echo "found after $((SECONDS - began)) s; it gets nothing, since nobody trusts it"

say "The bootstrap node, which has none of it"
ibgib-node status --data boot
