#!/usr/bin/env bash
# Many small files over loopback into a fresh folder, beside `tar | nc | tar` and an rsync daemon, neither of
# which encrypts; and the same push again with nothing changed.
#
#   tests/bench/small-files.sh [COUNT BYTES] [RUNS]      both of the table's sizes if none is given
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
if [ $# -lt 2 ]; then
  "$0" 10000 4096 "${1:-5}"
  exec "$0" 100000 1024 "${1:-5}"
fi
files=$1 bytes=$2 runs=${3:-5}
begin "$files files of $bytes bytes" nc tar rsync
mkdir "$work"/{tree,nc}
small_files "$files" "$bytes" "$work/tree"

rsync_push() { rsync -a "$work/tree" "rsync://$there:$rsyncport/in/"; }

start_node plain
start_rsync
for run in $(seq "$runs"); do
  forget_received
  ends=("$node")
  measure ftx push --quiet "$work/tree"
  [ "$run" -gt 1 ] || diff -r "$work/tree" "$work/in/tree"
  measure again push --quiet "$work/tree"
  ends=()
  measure nc tar_nc "$work/tree" "$work/nc"
  [ "$run" -gt 1 ] || diff -r "$work/tree" "$work/nc"
  forget_received
  measure rsync rsync_push
  [ "$run" -gt 1 ] || diff -r "$work/tree" "$work/rsync/tree"
done
forget_received
push --json "$work/tree" >"$work/first"
push --json "$work/tree" >"$work/again"

thousands() { fixed 1 "$files / 1000 / $(seconds "$1")"; }
judge "$title, beside tar, nc, tar" "ftx $(thousands ftx), tar $(thousands nc) thousand files/s" \
  "$(fixed 2 "$(seconds nc) / $(seconds ftx)")" ">= 0.9"
judge "$title, beside rsync daemon" "ftx $(thousands ftx), rsync $(thousands rsync) thousand files/s" \
  "$(fixed 2 "$(seconds rsync) / $(seconds ftx)")" ">= 2"
judge "the same again, time" "first $(seconds ftx) s, again $(seconds again) s" \
  "$(fixed 1 "$(seconds ftx) / $(seconds again)")" ">= 4"
judge "the same again, payload" "first $(field bytes_moved <"$work/first") bytes, again $(field bytes_moved <"$work/again")" \
  "$(field bytes_moved <"$work/again")" "<= 0 bytes"
