#!/usr/bin/env bash
# One honest file over a LAN of 1 Gbit/s, alone and beside an attack, in turn: connections without number,
# handshakes that stop half-way, 20,000 peers by mDNS that there are not, random packets at both UDP ports.
# Then the node's memory at its highest, and whether it is idle again, with as many descriptors as before.
#
#   tests/bench/denial.sh [MIB] [RUNS] [RATE]
#
# The attacker has addresses of its own on the sender's host, and shares processors and cable with everybody: what
# it takes of these itself counts against the node. It runs with the lowest priority; how often a second it came to
# attack is told.
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
mib=${1:-512} runs=${2:-3} rate=${3:-1000}
begin "an attack beside a file of $mib MiB" root ip tc python3
needs_room $((mib * 2))
lan 1gbit
attackers=10.78.0.101
on a ip address add 10.78.0.101/24 dev cable
for n in 2 3 4; do
  on a ip address add "10.78.0.10$n/24" dev cable
  attackers=$attackers,10.78.0.10$n
done
random_file "$mib" "$work/file"
start_node
ends=("$node")
push --quiet "$work/file" >/dev/null
forget_received
sleep 4   # until its announcement has all its sockets
descriptors() { find "/proc/$node/fd" -mindepth 1 2>/dev/null | wc -l; }
calm_before=$(descriptors)

# attack HOW RATE: begins one.
attack() {
  rm -f "$work/done"
  "${at_sender[@]}" nice -n 19 python3 "$here/denial.py" "$1" "$attackers" "$there" "$port" "$2" "$work/done" \
    2>"$work/attack.err" &
  attacker=$!
  started+=("$attacker")
  within 30 test -s "$work/done" || die "the attack does not begin: $(cat "$work/attack.err")"
}

# beside NAME CMD…: as `measure`, but nobody is calm meanwhile.
beside() {
  local name=$1; shift
  local TIMEFORMAT='%3R 0'
  # shellcheck disable=SC2261 # the first are the command's, the last is what `time` says
  { time "$@" >"$work/out" 2>"$work/err"; } 2>>"$work/time/$name" || die "$name failed: $(tail -3 "$work/err")"
}

idle() { local before; before=$(spent); sleep 2; [ "$before" = "$(spent)" ]; }
back() { [ "$(descriptors)" -le "$calm_before" ]; }

for how in connections handshakes mdns packets; do
  each=$rate
  case $how in mdns | packets) each=$((rate * 10)) ;; esac
  for _ in $(seq "$runs"); do
    measure "$how-alone" push --quiet "$work/file"
    forget_received
    attack "$how" "$each"
    beside "$how" push --quiet "$work/file"
    reached=$(awk '{ print $2 " a second, " $1 " in all" }' "$work/done")
    kill "$attacker" || die "the attack ended before: $(cat "$work/attack.err")"
    wait "$attacker" 2>/dev/null || true
    forget_received
  done
  judge "beside $how ($reached)" "$(seconds "$how") s, alone $(seconds "$how-alone") s" \
    "$(fixed 2 "$(seconds "$how-alone") / $(seconds "$how")")" ">= 0.8"
  if within 20 idle && within 20 back; then left=reached; else left=missed; fi
  row "idle after $how" "$(descriptors) descriptors, $calm_before before; no processor time in 2 s" "" "as before" "$left"
done
judge "most memory of the node" "$(most_memory "$node") MiB" "$(most_memory "$node")" "<= 64 MiB"
