#!/usr/bin/env bash
# A large sparse file whose push is killed at 90 %, and the same command again: how soon bytes are written
# again, counted from the command's start, and how many moved in all of it.
#
#   tests/bench/resume.sh [MIB] [RUNS]
#
# What arrives is not sparse. Where /dev/shm is too small for it, or memory is, /var/tmp takes its place; ROOM overrides.
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
mib=${1:-20480} runs=${2:-1}
free=$(awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)
if [ -z "${ROOM:-}" ] && [ "$free" -lt $((mib + 4096)) ]; then room=/var/tmp; fi
begin "resume of a $mib MiB file at 90 %, in $room"
[ "$(df --output=avail -m "$room" | tail -1)" -gt $((mib + 1024)) ] || skip "$room has no $mib MiB to spare"
options=(); if has_flag --compress; then options=(--compress off); fi   # else nothing but zeros would hardly flow

# Bytes of what has arrived that are really there.
arrived() { find "$work/in" -name file -printf '%b\n' 2>/dev/null | awk '{ sum += $1 } END { printf "%d", sum * 512 }'; }
# past BYTES: whether more than that has arrived.
past() { [ "$(arrived)" -gt "$1" ]; }

size=$((mib << 20))
start_node
for _ in $(seq "$runs"); do
  forget_received
  rm -f "$work/file"
  truncate -s "$size" "$work/file"   # its time is new: another file than the run before
  # Not through a function: it is this process that is killed.
  "$ftx" push --quiet --interface "$iface" "${options[@]}" "$work/file" "[$there:$port]" 2>/dev/null & first=$!
  started+=("$first")
  within 600 past $((size * 9 / 10)) || die "90 % never arrived"
  kill -9 "$first" || die "the push ended before 90 %"
  wait "$first" 2>/dev/null || true
  ends=("$node"); within 60 calm || die "the node does not come to rest"
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

judge "$title, bytes flow again" "after $(fixed 2 "$(median 1 "$work/time/resume")") s, done in $(fixed 1 "$(median 4 "$work/time/resume")") s" \
  "$(fixed 2 "$(median 1 "$work/time/resume")")" "<= 1 s"
judge "$title, moved" "$(fixed 1 "$(median 3 "$work/time/resume") * 100 / $size") % was there, $(fixed 0 "$(median 2 "$work/time/resume") / 1048576") MiB moved" \
  "$(fixed 2 "$(median 2 "$work/time/resume") * 100 / $size")" "<= 10.5 %"
