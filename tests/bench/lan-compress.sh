#!/usr/bin/env bash
# Source code between two hosts on a cable of 1 Gbit/s and of 100 Mbit/s, with compression and without; and
# bytes that cannot be compressed.
#
#   tests/bench/lan-compress.sh [MIB] [MIB_AT_100] [RUNS]
#
# The source code is what cargo keeps of other people's; CORPUS=DIR takes other.
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
mib=${1:-300} slow_mib=${2:-60} runs=${3:-3}
begin "compression" root ip tc
if ! has_flag --compress; then
  row "source code over 1 Gbit/s and 100 Mbit/s, --compress" "" "" ">= 3" "not there yet"
  exit 0
fi
lan 1gbit
start_node

# compare RATE MIB: source code and random bytes at that rate, with and without, in turn.
compare() {
  local run how text random
  title="$2 MiB over $1"
  rate "$1"
  rm -rf "$work/text" "$work/random"
  source_code "$2" "$work/text"
  random_file "$2" "$work/random"
  for run in $(seq "$runs"); do
    for how in auto off; do
      forget_received
      measure "text-$how-$1" push --quiet --compress $how "$work/text"
      [ "$run" -gt 1 ] || diff -r "$work/text" "$work/in/text"
      forget_received
      measure "random-$how-$1" push --quiet --compress $how "$work/random"
      [ "$run" -gt 1 ] || cmp "$work/random" "$work/in/random"
    done
  done
  text=$(calc "$(size_of "$work/text") / 1e6") random=$(calc "$2 * 1.048576")
  judge "source code, $title" \
    "$(per_second "$text" "text-auto-$1"), without $(per_second "$text" "text-off-$1") MB/s" \
    "$(fixed 2 "$(seconds "text-off-$1") / $(seconds "text-auto-$1")")" ">= 3"
  judge "incompressible, $title" \
    "$(per_second "$random" "random-auto-$1"), without $(per_second "$random" "random-off-$1") MB/s" \
    "$(fixed 3 "$(seconds "random-off-$1") / $(seconds "random-auto-$1")")" ">= 0.98"
}
per_second() { fixed 1 "$1 / $(seconds "$2")"; }

compare 1gbit "$mib"
compare 100mbit "$slow_mib"
