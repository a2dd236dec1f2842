#!/usr/bin/env bash
# Measures what the README quotes, each figure beside its reference in the same
# run, and prints the ratios. Takes about five minutes on two cores; run it
# on a machine that does nothing else. Usage: scripts/bench.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3}
out=$(mktemp)
trap 'rm -f "$out"' EXIT

bench() { # PACKAGE REGEXP BENCHTIME
	echo "# go test $1 -bench '$2' -benchtime $3 -count $rounds" >&2
	go test "$1" -run '^$' -bench "$2" -benchtime "$3" -count "$rounds" | tee -a "$out" >&2
}

bench ./ibgib '^(BenchmarkVerify|BenchmarkReference)$' 1s
bench ./blockstore '^(BenchmarkImport|BenchmarkBadgerBatch|BenchmarkMergeBranches|BenchmarkMergeBranchesHeap)$' 1x
bench ./blockstore '^BenchmarkLocalChange$' 2000x
bench ./blockstore '^BenchmarkOpen$' 10x
bench ./timeline '^(BenchmarkAdmitLinear|BenchmarkAdmitWithoutMerges)$' 1s
bench ./keystone '^(BenchmarkValidate|BenchmarkAdd|BenchmarkSign)$' 1s
bench ./node '^(BenchmarkImport|BenchmarkFirstSync|BenchmarkRawStream|BenchmarkFirstSyncHeap)$' 1x
bench ./node '^BenchmarkNothingChanged$' 3x
bench ./node '^(BenchmarkLive|BenchmarkLiveBurst)$' 1x

# Medians by package and benchmark, then the ratios.
awk -v rounds="$rounds" '
/^pkg:/ { pkg = $2; sub(/.*\//, "", pkg) }
/^Benchmark/ {
	name = $1; sub(/-[0-9]+$/, "", name); sub(/^Benchmark/, "", name)
	key = pkg " " name
	for (i = 3; i < NF; i += 2) values[key, $(i + 1)] = values[key, $(i + 1)] " " $i
}
function median(key, unit,   list, n, i, j, t) {
	n = split(values[key, unit], list, " ")
	for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++)
		if (list[j] + 0 < list[i] + 0) { t = list[i]; list[i] = list[j]; list[j] = t }
	return n ? list[int((n + 1) / 2)] + 0 : 0
}
function row(what, a, b, unit,   x, y) {
	x = median(a, unit); y = median(b, unit)
	if (!x || !y) { printf "%-58s missing\n", what; bad = 1; return }
	if (unit == "ns/op") printf "%-58s %10.0f ns  %10.0f ns  %5.2fx\n", what, x, y, x / y
	else printf "%-58s %10.0f /s  %10.0f /s  %5.2fx\n", what, x, y, x / y
}
END {
	printf "\n%-58s %13s  %13s  %6s\n", "median of " rounds, "this", "reference", "ratio"
	row("gate, 622 B ibGib : SHA-256 and a JSON scan (time)", "ibgib Verify/frame622", "ibgib Reference/frame622", "ns/op")
	row("gate, spaces/a.ndjson : the same (time)", "ibgib Verify/space", "ibgib Reference/space", "ns/op")
	row("store, 100,000 ibGibs : Badger batches, node options", "blockstore Import", "blockstore BadgerBatch/node_options", "ibgibs/s")
	row("store, 100,000 ibGibs : Badger batches, default options", "blockstore Import", "blockstore BadgerBatch/default_options", "ibgibs/s")
	row("import of NDJSON : Badger batches, node options", "node Import", "blockstore BadgerBatch/node_options", "ibgibs/s")
	row("first sync over TCP : Badger batches, node options", "node FirstSync/tcp", "blockstore BadgerBatch/node_options", "ibgibs/s")
	row("first sync over TCP : raw libp2p stream, TCP", "node FirstSync/tcp", "node RawStream/tcp", "ibgibs/s")
	row("first sync over QUIC : raw libp2p stream, QUIC", "node FirstSync/quic", "node RawStream/quic", "ibgibs/s")
	for (i = 1; i <= 2; i++) {
		name = i == 1 ? "tcp" : "quic"
		printf "first sync over %s: wire %.3f of the payload; CPU for one ibGib %.1f us to send, %.1f us to receive; live heap over idle: sender %.0f MB, receiver %.0f MB, of Badger %.0f and %.0f MB beside it\n", name, \
			median("node FirstSync/" name, "wire/payload"), median("node FirstSync/" name, "sender-µs/ibgib"), median("node FirstSync/" name, "receiver-µs/ibgib"), \
			median("node FirstSyncHeap/" name, "sender-own-MB"), median("node FirstSyncHeap/" name, "receiver-own-MB"), \
			median("node FirstSyncHeap/" name, "sender-badger-MB"), median("node FirstSyncHeap/" name, "receiver-badger-MB")
	}
	printf "nothing changed, 100,000 timelines: %d round trip, %d B on the wire, %.0f ms with the connection\n", \
		median("node NothingChanged", "rounds"), median("node NothingChanged", "wire-B"), median("node NothingChanged", "ms")
	row("admission, linear timeline : without rules of merges (time)", "timeline AdmitLinear", "timeline AdmitWithoutMerges", "ns/op")
	printf "opening and closing a store of 100,000 timelines: %.0f ms\n", median("blockstore Open", "ns/op") / 1e6
	printf "one durable local change: %.2f ms\n", median("blockstore LocalChange", "ns/op") / 1e6
	printf "merge of two branches of 1,000 changes, the commit: %.2f s above 1,000 frames, %.2f s above 10,000; live heap over idle: %.1f and %.1f MB, of Badger %.1f and %.1f MB beside it\n", \
		median("blockstore MergeBranches/frames=1000", "ns/op") / 1e9, median("blockstore MergeBranches/frames=10000", "ns/op") / 1e9, \
		median("blockstore MergeBranchesHeap/frames=1000", "own-MB"), median("blockstore MergeBranchesHeap/frames=10000", "own-MB"), \
		median("blockstore MergeBranchesHeap/frames=1000", "badger-MB"), median("blockstore MergeBranchesHeap/frames=10000", "badger-MB")
	printf "keystone of 1,000 frames: from scratch %.2f s, one more frame %.2f ms, signing one %.2f ms\n", \
		median("keystone Validate", "ns/op") / 1e9, median("keystone Add", "ns/op") / 1e6, median("keystone Sign", "ns/op") / 1e6
	for (i = 1; i <= 2; i++) {
		name = i == 1 ? "tcp" : "quic"
		printf "live change over %s, from its API to the other node: median %.1f ms, 99 %% within %.1f ms\n", name, \
			median("node Live/" name, "median-ms"), median("node Live/" name, "p99-ms")
	}
	printf "burst of 10,000 changes in %.1f s: %d sagas, in step %.2f s after\n", \
		median("node LiveBurst", "changing-s"), median("node LiveBurst", "sagas"), median("node LiveBurst", "after-s")
	exit bad
}' "$out"
