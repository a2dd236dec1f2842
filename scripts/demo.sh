#!/usr/bin/env bash
# Shows two nodes that find each other and stay in step by themselves.
#
# Each runs in a network namespace of its own, as on a machine of its own; a
# virtual cable joins them. They share a mesh secret, find each other by mDNS,
# trust each other, and what is written on one appears on the other. Needs Go
# and, for the namespaces, Linux with iproute2 and unshare; root is not needed
# where user namespaces are allowed. Where they are not, or with --loopback, both
# nodes run on the loopback interface, and the first contact is made by hand,
# since mDNS needs an interface with multicast.
#
# Nothing is left behind, and nothing is sent beyond this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${IBGIB_DEMO_DIR:-}" ]; then
	IBGIB_DEMO_DIR=$(mktemp -d)
	export IBGIB_DEMO_DIR
	trap 'rm -rf "$IBGIB_DEMO_DIR"' EXIT
	echo "building ibgib-node"
	go build -o "$IBGIB_DEMO_DIR/ibgib-node" ./cmd/ibgib-node
	inside=(unshare --user --map-root-user --net --mount)
	if [ "${1:-}" != --loopback ] && command -v ip >/dev/null &&
		"${inside[@]}" sh -c 'mount -t tmpfs tmpfs /run && ip netns add probe' 2>/dev/null; then
		"${inside[@]}" "$0" --namespaces
	else
		"$0" --loopback
	fi
	exit
fi

cd "$IBGIB_DEMO_DIR"
PATH=$IBGIB_DEMO_DIR:$PATH
nodes=(server laptop)
pids=()
stop() {
	trap - EXIT
	[ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
	wait
}
trap stop EXIT
trap 'exit 130' INT TERM

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { # NODE COMMAND...: prints a command and runs it where the node is
	local node=$1
	shift
	printf '%s$ %s\n' "$node" "$*"
	"${on[@]/NODE/$node}" "$@" --data "$node"
}
label() { while IFS= read -r line; do printf '%8s | %s\n' "$1" "$line"; done; }
until_line() { # FILE PATTERN: waits until a line of the file matches
	for _ in $(seq 200); do
		grep -qE "$2" "$1" 2>/dev/null && return
		sleep 0.1
	done
	echo "nothing like '$2' has appeared in 20 seconds:" >&2
	cat "$1" >&2
	exit 1
}

case $1 in
--namespaces)
	on=(ip netns exec NODE)
	mount -t tmpfs tmpfs /run
	for node in "${nodes[@]}"; do ip netns add "$node"; done
	ip link add name eth0 netns server type veth peer name eth0 netns laptop
	for i in 0 1; do
		ip -n "${nodes[i]}" addr add "10.86.0.$((i + 1))/24" dev eth0
		ip -n "${nodes[i]}" link set lo up
		ip -n "${nodes[i]}" link set eth0 up
	done
	say "Two machines on one network: server 10.86.0.1, laptop 10.86.0.2"
	arguments=(--trust lan)
	;;
--loopback)
	on=(env NODE=1)
	say "Two nodes on the loopback interface"
	arguments=(--no-mdns --listen /ip4/127.0.0.1/tcp/0)
	;;
esac

(umask 077 && head -c 32 /dev/urandom | base64 >secret)
for node in "${nodes[@]}"; do
	printf '%s$ ibgib-node run %s\n' "$node" "--mesh-secret secret ${arguments[*]}"
	"${on[@]/NODE/$node}" ibgib-node run --data "$node" --mesh-secret secret "${arguments[@]}" >"$node.out" 2>"$node.log" &
	pids+=($!)
done
for node in "${nodes[@]}"; do
	until_line "$node.out" '^ready '
	cut -d' ' -f1-3 "$node.out" | label "$node"
done

if [ "$1" = --loopback ]; then
	say "They trust each other by peer id, and meet"
	show server ibgib-node trust "$(cut -d' ' -f2 laptop.out)"
	show laptop ibgib-node trust "$(cut -d' ' -f2 server.out)"
	show laptop ibgib-node sync "$(cut -d' ' -f3 server.out)"
else
	say "They find each other"
	for node in "${nodes[@]}"; do
		until_line "$node.log" 'peer trusted'
		grep -m 1 'peer trusted' "$node.log" | label "$node"
	done
fi

say "From here on, each node tells what changes in it, as it happens"
for node in "${nodes[@]}"; do
	printf '%s$ ibgib-node log --follow\n' "$node"
	"${on[@]/NODE/$node}" ibgib-node log --follow --data "$node" 2>&1 | tee "$node.follow" | label "$node" &
	pids+=($!)
done
for node in "${nodes[@]}"; do until_line "$node.follow" '^CHANGED'; done

say "A note is written on the server"
head=$(show server ibgib-node new note --set '{"text":"hello"}' | tee /dev/stderr | tail -n 1)
tjp=note^${head##*.}
until_line laptop.follow "${head##*.}"

say "It is changed on the laptop"
head=$(show laptop ibgib-node mut8 "$tjp" --set '{"text":"hello from the laptop"}' | tee /dev/stderr | tail -n 1)
head=${head#*^}
until_line server.follow "${head%.*}"

say "Both have both"
for node in "${nodes[@]}"; do show "$node" ibgib-node log "$tjp"; done
