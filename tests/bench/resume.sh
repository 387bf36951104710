#!/usr/bin/env bash
# A large sparse file whose push is killed at 90 %, and the same command again: how soon bytes are written
# again, counted from the command's start, and how many moved in all of it.
#
#   tests/bench/resume.sh [MIB] [RUNS] [at-once]
#
# The command comes again once the receiver has given the first try up, which on a disk means that it has
# synced what it has; with `at-once`, at once.
# What arrives is sparse, too: how much has come is told by the journal. Where /dev/shm is too small, or memory is,
# /var/tmp takes its place; ROOM overrides.
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
mib=${1:-20480} runs=${2:-1} when=${3:-later}
[ -n "${ROOM:-}" ] || has_room "$mib" || room=/var/tmp
begin "resume of a $mib MiB file at 90 %, in $room${3:+, $3}"
needs_room "$mib"
options=(); if has_flag --compress; then options=(--compress off); fi   # else nothing but zeros would hardly flow

# Bytes of the chunks that the journal names (ftx-files(5)): records of kind 1, each after its length and before 4
# bytes of check.
count_chunks='
import sys
chunks = 0
for name in sys.argv[1:]:
    journal, at = open(name, "rb").read(), 21
    while at + 2 < len(journal):
        chunks += journal[at + 2] == 1
        at += 2 + int.from_bytes(journal[at:at + 2], "big") + 4
print(chunks << 20)'
arrived() { python3 -c "$count_chunks" "$work"/in/.ftx-partial/*/journal 2>/dev/null || echo 0; }
# past BYTES: whether more than that has arrived.
past() { [ "$(arrived)" -gt "$1" ]; }

# given_up: whether the node has ended as many tries as were killed.
given_up() { [ "$(grep -c '"event":"failed"' "$work/up")" -ge "$run" ]; }

size=$((mib << 20))
start_node
for run in $(seq "$runs"); do
  forget_received
  rm -f "$work/file"
  truncate -s "$size" "$work/file"   # its time is new: another file than the run before
  # Not through a function: it is this process that is killed.
  "$ftx" push --quiet --interface "$iface" "${options[@]}" "$work/file" "[$there:$port]" 2>/dev/null & first=$!
  started+=("$first")
  within 600 past $((size * 9 / 10)) || die "90 % never arrived"
  kill -9 "$first" || die "the push ended before 90 %"
  wait "$first" 2>/dev/null || true
  [ "$when" = at-once ] || within 300 given_up || die "the node does not give the first try up"
  kept=$(arrived) || die "what arrived is gone"

  begun=$EPOCHREALTIME
  "$ftx" push --json --quiet --interface "$iface" "${options[@]}" "$work/file" "[$there:$port]" >"$work/again" & second=$!
  started+=("$second")
  within 60 past "$kept" || die "nothing is written again"
  flows=$(calc "$EPOCHREALTIME - $begun")
  wait "$second" || die "going on failed"
  took=$(calc "$EPOCHREALTIME - $begun")
  [ "$(stat -c %s "$work/in/file")" = "$size" ] || die "it is not of the right size"
  echo "$flows $(field bytes_moved <"$work/again") $kept $took" >>"$work/time/resume"
done

of() { median "$1" "$work/time/resume"; }
judge "$title, bytes flow again" "after $(fixed 2 "$(of 1)") s, done in $(fixed 1 "$(of 4)") s" "$(fixed 2 "$(of 1)")" "<= 1 s"
# The push is killed a little after 90 %: no more than half a percent may move that was there.
had=$(fixed 2 "$(of 3) * 100 / $size")
judge "$title, moved" "$had % was there, $(fixed 0 "$(of 2) / 1048576") MiB moved" \
  "$(fixed 2 "$(of 2) * 100 / $size")" "<= $(fixed 2 "100 - $had + 0.5") %"
