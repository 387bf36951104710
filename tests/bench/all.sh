#!/usr/bin/env bash
# Every benchmark, each with the table's sizes, and one summary. Half an hour on two cores that do nothing else;
# up to 20 GiB of room, in memory or (resume.sh) on disk.
#
#   cargo build --release && tests/bench/all.sh [SCRIPT…]
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
scripts=("$@")
[ $# -gt 0 ] || scripts=(one-file small-files latency senders lan-file lan-loss lan-compress memory resume hub denial)
BENCH_ROWS=$(mktemp)
export BENCH_ROWS
trap 'rm -f "$BENCH_ROWS"' EXIT
trap stop INT TERM HUP
running=
# shellcheck disable=SC2329 # the trap calls it
stop() {
  trap '' INT TERM HUP
  [ -z "$running" ] || { kill "$running"; wait "$running" || true; } 2>/dev/null
  exit 130
}
broken=0
for script in "${scripts[@]}"; do
  script=$(basename "$script" .sh)
  say "== $script"
  "$here/$script.sh" >&2 & running=$!   # in the background, to be told to end, too
  wait "$running" || { broken=1; row "$script" "" "" "" "broke"; }
done

echo
processor=$(awk -F': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)
echo "$("$ftx" --version), $(nproc) x $processor, Linux $(uname -r), $(date -u +%F)"
echo
echo "| case | measured | ratio | target | |"
echo "| --- | --- | --- | --- | --- |"
cat "$BENCH_ROWS"
echo
count() { grep -c "| $1[^|]* |\$" "$BENCH_ROWS" || true; }
for word in reached missed skipped "not there yet" broke; do echo "$word: $(count "$word")"; done
exit $broken
