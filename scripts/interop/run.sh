#!/usr/bin/env bash
# Lets a foreign peer, written in JavaScript on js-libp2p, talk to a node: finding,
# meeting, trusting, whole sagas either side begins, and what must be refused.
#
#   scripts/interop/run.sh
#
# All runs on loopback; that they find each other by multicast DNS is tried in a network
# namespace, where that is allowed (root, util-linux, iproute2). Needs Go, Node.js from 20
# on, and npm, which brings the packages into node_modules here. Exits with 3 when it
# cannot run at all.
set -euo pipefail
cd "$(dirname "$0")"

limit() { # SECONDS COMMAND...
	if command -v timeout >/dev/null; then timeout "$@"; else "${@:2}"; fi
}
start() { # NAME FLAG...: runs a node with the data directory NAME until the end
	local name=$1
	shift
	"$work/ibgib-node" run --data "$work/$name" "$@" >"$work/$name.out" 2>"$work/$name.log" &
	pid=$!
	trap 'kill "$pid" 2>/dev/null || true; wait' EXIT
	for _ in $(seq 600); do
		! grep -qs '^ready ' "$work/$name.out" || return 0
		sleep 0.1
	done
	echo "the node is not ready after a minute:" >&2
	cat "$work/$name.log" >&2
	exit 1
}

show() { # NAME: the log of a node, after a failure
	echo "log of the node:"
	tail -n 100 "$work/$1.log"
	return 1
}

# The part in a namespace: two machines on one network, as far as both can tell.
if [ "${1:-}" = lan ]; then
	work=$2
	ip link set lo up
	ip link add lan0 type veth peer name lan1
	ip address add 10.77.0.1/24 dev lan0
	ip link set lan0 up
	ip link set lan1 up
	ip route add default dev lan0
	"$work/ibgib-node" mesh-secret "$work/secret" >/dev/null
	start lan --mesh-secret "$work/secret" --listen /ip4/10.77.0.1/tcp/0
	limit 200 node mdns.js "$work/ibgib-node" "$work/lan" "$work/secret" || show lan
	exit
fi

version=$(node --version 2>/dev/null || true)
if ! [[ $version =~ ^v([0-9]+) ]] || [ "${BASH_REMATCH[1]}" -lt 20 ] || ! command -v npm >/dev/null; then
	echo "left out: Node.js from 20 on and npm are needed, there is ${version:-none}"
	exit 3
fi
if ! cmp -s package-lock.json node_modules/.installed; then
	limit 240 npm ci --ignore-scripts --no-audit --no-fund --loglevel=error || {
		echo "left out: npm could not bring the packages"
		exit 3
	}
	cp package-lock.json node_modules/.installed
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -o "$work/ibgib-node" ../../cmd/ibgib-node
failed=0
part() { # TITLE COMMAND...
	printf '\n%s\n' "$1"
	"${@:2}" 2>&1 | tee "$work/part" || failed=1
	cat "$work/part" >>"$work/all"
}
loopback() {
	start server --no-mdns --no-live --dht server --listen /ip4/127.0.0.1/tcp/0
	limit 300 node main.js "$work/ibgib-node" "$work/server" "$(cut -d' ' -f3 "$work/server.out")" || show server
}

part "Golden data" limit 60 node vectors.js
part "On loopback" loopback
if unshare -n ip link add lan0 type veth peer name lan1 2>/dev/null; then
	part "On one network" unshare -n ./run.sh lan "$work"
else
	printf '\nOn one network: left out, network namespaces are not to be had\n'
fi

# Each part ends with a line of this form; a part that ended before it has failed.
awk -v failed="$failed" '/^[0-9]+ passed, [0-9]+ failed$/ { p += $1; f += $3 }
	END { if (failed && !f) f = 1; printf "\nall parts\n%d passed, %d failed\n", p, f; exit f > 0 }' "$work/all"
