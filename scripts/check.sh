#!/usr/bin/env bash
# All checks of this repository. CI runs exactly this, and so does a person
# before a commit. It needs Go and a C compiler (for the race detector); what
# else it runs, Go fetches. With Node.js and npm, a foreign peer talks to a node too.
#
#   scripts/check.sh             everything
#   FUZZTIME=1m scripts/check.sh with longer fuzzing (default 20,000 runs a target)
#   SOAK=30m scripts/check.sh    with a longer soak (default 2m)
#   RACE=0 scripts/check.sh      tests without the race detector
set -euo pipefail
cd "$(dirname "$0")/.."

staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2
govulncheck=golang.org/x/vuln/cmd/govulncheck@v1.9.0
soak=${SOAK:-2m}

step() { printf '\n== %s (after %d s)\n' "$*" "$SECONDS"; }

step gofmt
unformatted=$(gofmt -l .)
if [ -n "$unformatted" ]; then
	printf 'not formatted (run gofmt -w):\n%s\n' "$unformatted" >&2
	exit 1
fi

step go vet
go vet ./...

step go mod tidy
go mod tidy -diff

step "scripts/reference, a module of its own"
(cd scripts/reference && go vet ./... && go mod tidy -diff && go test ./...)

step staticcheck
go run "$staticcheck" ./...

step go test
if [ "${RACE:-1}" = 1 ]; then
	# The simulations have one goroutine; a tenth of their seeds is enough here.
	# The package that takes longest goes first, so that no core waits for it alone.
	go test -race -short -timeout 40m ./node ./...
else
	go test ./...
fi

# The soak waits most of the time, so it runs beside the fuzzing.
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$work"' EXIT
step "soak of five nodes in network namespaces, $soak, in the background"
IBGIB_NODE_SOAK=$soak go test ./cmd/ibgib-node -run '^TestSoakOnALAN$' -count 1 -v >"$work/soak.log" 2>&1 &
soaking=$!

# A number of runs, not a time, is the default: Go before 1.27 can report that the
# time is over as a failure (golang.org/issue/75804). What is built on libp2p is then
# not instrumented for coverage, which would take longer to build than to run.
step "fuzz, ${FUZZTIME:-20,000 runs} a target"
go list -f '{{.ImportPath}} {{.Dir}}' ./... | while read -r package dir; do
	targets=$(grep -hos '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | cut -d' ' -f2 || true)
	[ -n "$targets" ] || continue
	guided=(-fuzz .)
	case ${FUZZTIME:-none}:$package in
	none:*/ibgib-node/protocol | none:*/ibgib-node/node | none:*/ibgib-node/cmd/* | none:*/ibgib-node/dht) guided=() ;;
	esac
	go test -c "${guided[@]}" -o "$work/test" "$package"
	for target in $targets; do
		echo "$package $target"
		# A new input of some length would be made smaller for up to a minute.
		(cd "$dir" && "$work/test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "${FUZZTIME:-20000x}" \
			-test.fuzzminimizetime 10x -test.fuzzcachedir "$work/cache")
	done
done

step "end of the soak"
code=0
wait "$soaking" || code=$?
if [ "$code" = 0 ]; then
	tail -n 12 "$work/soak.log"
else
	cat "$work/soak.log"
	exit "$code"
fi

# A peer in another language, which knows no more than SPEC.md tells. Where it cannot run,
# exit code 3, that is no failure.
step "js-libp2p as a foreign peer"
code=0
scripts/interop/run.sh || code=$?
case $code in
0 | 3) ;;
*) exit "$code" ;;
esac

# The vulnerability database is on the network. That it cannot be reached is no
# failure; exit code 3 says that a vulnerability was found.
step govulncheck
limit=$(command -v timeout >/dev/null && echo "timeout 300" || true)
code=0
$limit go run "$govulncheck" ./... || code=$?
case $code in
0) ;;
3) exit 3 ;;
*) echo "skipped: govulncheck could not run" ;;
esac

step all checks passed
