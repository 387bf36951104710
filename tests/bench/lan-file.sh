#!/usr/bin/env bash
# One file between two hosts on a cable of 1 Gbit/s, beside iperf3 (what the cable carries) and scp.
#
#   tests/bench/lan-file.sh [MIB] [RUNS]
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
mib=${1:-1024} runs=${2:-3}
begin "one $mib MiB file over 1 Gbit/s" root ip tc iperf3 scp sshd ssh-keygen
needs_room $((mib * 2))
file=$work/file
random_file "$mib" "$file"
mkdir "$work/scp"
lan 1gbit
start_node
start_sshd
start_iperf
for run in $(seq "$runs"); do
  iperf iperf
  forget_received
  ends=("$node")
  measure ftx push --quiet "$file"
  [ "$run" -gt 1 ] || cmp "$file" "$work/in/file"
  ends=("$sshd")
  measure scp copy "$file" "$work/scp/file"
done

mbit() { fixed 0 "$mib * 1.048576 * 8 / $(seconds "$1")"; }
each() { fixed 2 "$(processor "$1") * 1024 / $mib"; }
cable=$(fixed 0 "$(median 1 "$work/time/iperf")")
judge "$title, beside iperf3" "ftx $(mbit ftx), iperf3 $cable, scp $(mbit scp) Mbit/s" \
  "$(fixed 3 "$(mbit ftx) / $cable")" ">= 0.97"
judge "$title, processor time" "ftx $(each ftx) s/GiB, scp $(each scp) s/GiB, both ends" \
  "$(fixed 2 "$(processor ftx) / $(processor scp)")" "<= 0.6"
