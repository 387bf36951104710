#!/usr/bin/env bash
# One file between two hosts on a cable of 1 Gbit/s that loses packets both ways, as bad Wi-Fi does, beside
# one plain TCP connection with cubic; BBR and more connections for comparison.
#
#   tests/bench/lan-loss.sh [MIB] [PERCENT] [RUNS]
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
mib=${1:-256} percent=${2:-3} runs=${3:-3}
begin "one $mib MiB file over 1 Gbit/s with $percent % loss" root ip tc nft iperf3
file=$work/file
random_file "$mib" "$file"
lan 1gbit
start_node
start_iperf
lose "$percent"
variants=()
if has_flag --connections; then variants=(1 4 8); fi
bbr=$(grep -ow bbr /proc/sys/net/ipv4/tcp_available_congestion_control || true)
for run in $(seq "$runs"); do
  iperf cubic -C cubic
  [ -z "$bbr" ] || iperf bbr -C bbr
  forget_received
  measure ftx push --quiet "$file"
  [ "$run" -gt 1 ] || cmp "$file" "$work/in/file"
  for connections in "${variants[@]}"; do
    forget_received
    measure "ftx-$connections" push --quiet --connections "$connections" "$file"
  done
done

mbit() { fixed 0 "$mib * 1.048576 * 8 / $(seconds "$1")"; }
carried() { fixed 0 "$(median 1 "$work/time/$1")"; }
against() { fixed 2 "$(mbit "$1") / $(median 1 "$work/time/cubic")"; }
judge "$title" "ftx $(mbit ftx), one cubic $(carried cubic)${bbr:+, one BBR $(carried bbr)} Mbit/s" "$(against ftx)" ">= 3"
for connections in "${variants[@]}"; do
  row "$title, --connections $connections" "ftx $(mbit "ftx-$connections") Mbit/s" "$(against "ftx-$connections")" "" \
    "for comparison"
done
[ ${#variants[@]} -gt 0 ] || row "$title, --connections" "" "" "" "not there yet"
