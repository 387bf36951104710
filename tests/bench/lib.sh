# shellcheck shell=bash
# What the benchmarks share: homes, nodes and rivals on a memory file system, timing of both ends,
# medians, a LAN of two hosts in network namespaces, and a table line for every result.
#
# A script here is one row of the table of what ftx must reach. Its arguments are sizes, then how many
# runs; without any they are the table's. It compares within one run on one machine, in turn
# (A B A B), and judges medians; figures of two machines, or of a busy one, say nothing. It prints
#
#   | case | measured | ratio | target | reached, missed, skipped or not there yet |
#
# and ends with 0 unless something broke. What it needs and does not find it names, and skips the
# row. Nothing is left behind, also after Ctrl-C.
#
#   FTX=PATH   the program, target/release/ftx if not given
#   ROOM=DIR   where everything is put, /dev/shm if not given
#
# Needs Linux, bash 4.4 or later and awk. Network namespaces (lan-*.sh), and sshd, need root.
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ftx=${FTX:-$(cd "$here/../.." && pwd)/target/release/ftx}
room=${ROOM:-/dev/shm}
people_home=$HOME   # HOME becomes the sender's
title='' work='' net=''
started=()      # processes to end
ends=()         # servers whose processor time counts, beside the command's
at_sender=() at_receiver=()   # how to run something on either host; empty: right here
there=127.0.0.1 iface=lo      # where the receiver is, and on which interface

say() { printf '%s\n' "$*" >&2; }
die() { say "$title: $*"; exit 1; }

# begin TITLE TOOL…: names the row and makes the room; skips if a tool is missing.
begin() {
  title=$1; shift
  need ftx_there awk "$@"
  trap clean EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  work=$(mktemp -d "$room/ftx-bench.XXXXXX")
  mkdir "$work"/{in,time}
  export HOME=$work/sender XDG_CONFIG_HOME=$work/sender/.config
  mkdir "$HOME"
}

# Skips the row if one of the tools is missing.
need() {
  local tool
  for tool in "$@"; do
    case $tool in
      ftx_there) [ -x "$ftx" ] || skip "no $ftx: cargo build --release, or FTX=PATH" ;;
      root) [ "$(id -u)" = 0 ] || skip "network namespaces need root" ;;
      sshd) [ -x "$(sshd_path)" ] || skip "sshd is missing (openssh-server)" ;;
      *) command -v "$tool" >/dev/null || skip "$tool is missing" ;;
    esac
  done
}

# Whether there is room for so many MiB: in the file system, and in memory if it lives there.
has_room() {
  local free
  free=$(df --output=avail -m "$room" | tail -1)
  [ "$(df --output=fstype "$room" | tail -1)" != tmpfs ] ||
    free=$(awk -v free="$free" '/^MemAvailable/ { most = int($2 / 1024) - 2048; print(most < free ? most : free) }' \
      /proc/meminfo)
  [ "$free" -gt "$1" ]
}
needs_room() { has_room "$1" || skip "$room has no $1 MiB to spare (ROOM=DIR takes another place)"; }

skip() { row "$title" "" "" "" "skipped: $*"; exit 0; }

# Whether `ftx push` has a flag.
has_flag() { [[ $("$ftx" push --help) == *"$1"* ]]; }

clean() {
  trap '' INT TERM HUP
  local pid space
  for pid in $(below $$); do kill "$pid" 2>/dev/null || true; done
  within 3 all_gone || for pid in $(below $$); do kill -9 "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  if [ -n "$net" ]; then
    for space in "$net-a" "$net-b"; do
      for pid in $(ip netns pids "$space" 2>/dev/null); do kill -9 "$pid" 2>/dev/null || true; done
      ip netns del "$space" 2>/dev/null || true
    done
  fi
  [ -z "$work" ] || rm -rf "$work"
}

# The processes that descend from one.
below() {
  local pid children=()
  read -ra children <"/proc/$1/task/$1/children" 2>/dev/null || true
  for pid in "${children[@]}"; do
    echo "$pid"
    below "$pid"
  done
}

all_gone() {
  local pid
  for pid in "${started[@]}"; do gone "$pid" || return 1; done
}
gone() { [ ! -e "/proc/$1" ] || [ "$(state "$1")" = Z ]; }
state() { awk '/^State/ { print $2 }' "/proc/$1/status" 2>/dev/null || echo Z; }

# within SECONDS CMD…: repeats a command until it succeeds; fails once the time is over.
within() {
  local over=$((SECONDS + $1 + 1)); shift
  until "$@" 2>/dev/null; do
    [ "$SECONDS" -lt "$over" ] || return 1
    sleep 0.02
  done
}

# --- The receiver, and the rivals' servers ---------------------------------------------------------

# start_node [plain]: a node that accepts everything into $work/in; sets node (its pid), port and name. A plain
# one says what happened in words, one line a transfer, and not every entry in JSON.
start_node() {
  local output=(--json)
  port=0 name=bench-$$-${#started[@]}
  mkdir -p "$work/receiver"
  if [ "${1:-}" = plain ]; then output=() port=$(free_port); fi
  "${at_receiver[@]}" env HOME="$work/receiver" XDG_CONFIG_HOME="$work/receiver/.config" \
    "$ftx" up --interface "$iface" --name "$name" --port "$port" --accept all --dir "$work/in" "${output[@]}" \
    >"$work/up" 2>"$work/up.err" </dev/null &
  node=$!
  started+=("$node")
  if [ "$port" = 0 ]; then
    within 10 grep -q '"event":"up"' "$work/up" || die "the node does not come up: $(cat "$work/up.err")"
    port=$(field port <"$work/up")
  else
    within 10 listening "$port" || die "the node does not come up: $(cat "$work/up.err")"
  fi
}

# stop_node: ends it politely.
stop_node() {
  kill "$node" 2>/dev/null || true
  within 20 gone "$node" || die "the node does not end"
  wait "$node" 2>/dev/null || true
}

# The number under a key of the first JSON object that has it.
field() { grep -o "\"$1\":[0-9.]*" | awk -F: 'NR == 1 { print $2 }'; }

sshd_path() { PATH=$PATH:/usr/sbin:/usr/local/sbin command -v sshd || true; }

# start_sshd: on the receiver; sets sshd (its pid) and sshport. As fast as it gets: no PAM, and sftp within sshd,
# so that nobody's login shell is timed, too.
start_sshd() {
  local key
  sshport=$(free_port)
  mkdir "$work/ssh"
  mkdir -p /run/sshd 2>/dev/null || true   # sshd refuses to start without it
  for key in user host; do ssh-keygen -q -t ed25519 -N '' -f "$work/ssh/$key"; done
  "${at_receiver[@]}" "$(sshd_path)" -D -f /dev/null -p "$sshport" -h "$work/ssh/host" -o ListenAddress="$there" \
    -o UsePAM=no -o Subsystem="sftp internal-sftp" -o AuthorizedKeysFile="$work/ssh/user.pub" -o StrictModes=no \
    -o PidFile=none 2>"$work/ssh/log" </dev/null &
  sshd=$!
  started+=("$sshd")
  within 10 listening "$sshport" || die "sshd does not come up: $(cat "$work/ssh/log")"
}

# start_rsync: a daemon whose module `in` is $work/rsync; sets rsyncport.
start_rsync() {
  rsyncport=$(free_port)
  mkdir -p "$work/rsync"
  printf '%s\n' 'use chroot = no' "uid = $(id -u)" "gid = $(id -g)" '[in]' "path = $work/rsync" 'read only = no' \
    >"$work/rsyncd.conf"
  "${at_receiver[@]}" rsync --daemon --no-detach --address="$there" --port="$rsyncport" --config="$work/rsyncd.conf" \
    2>"$work/rsyncd.log" </dev/null &
  started+=("$!")
  within 10 listening "$rsyncport" || die "rsync does not come up: $(cat "$work/rsyncd.log")"
}

# start_iperf: iperf3's server on the receiver.
start_iperf() {
  "${at_receiver[@]}" iperf3 -s -B "$there" >/dev/null 2>&1 </dev/null &
  started+=("$!")
  within 10 listening 5201 || die "iperf3 does not come up"
}

# Whether somebody on the receiver's host listens on a TCP port.
listening() {
  "${at_receiver[@]}" grep -q "^ *[0-9]*: [0-9A-F]*:$(printf %04X "$1") [0-9A-F:]* 0A " /proc/net/tcp /proc/net/tcp6
}

free_port() {
  local port
  for _ in {1..100}; do
    port=$((20000 + RANDOM % 10000))
    listening "$port" || { echo "$port"; return; }
  done
  die "no free port"
}

# --- The commands that are compared ----------------------------------------------------------------

# push [ARG…] PATH…: to the node, by its address.
push() { "${at_sender[@]}" "$ftx" push --interface "$iface" "$@" "[$there:$port]"; }

# copy FILE TO: scp with its fastest cipher.
copy() {
  "${at_sender[@]}" scp -q -F none -i "$work/ssh/user" -P "$sshport" -o StrictHostKeyChecking=no \
    -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -c aes128-gcm@openssh.com "$1" "$there:$2"
}

# tar_nc FROM TO: the tree below a folder, by tar through nc.
tar_nc() {
  local port got
  port=$(free_port)
  { nc -l -d "$there" "$port" | tar -xf - -C "$2"; } &
  got=$!
  within 10 listening "$port" && tar -cf - -C "$1" . | nc -N "$there" "$port" && wait "$got"
}

# forget_received: empties what arrived, the folders themselves stay.
forget_received() {
  local folder
  for folder in "$work"/{in,scp,nc,rsync}; do
    [ ! -d "$folder" ] || find "$folder" -mindepth 1 -delete
  done
}

# --- What is sent ----------------------------------------------------------------------------------

# random_file MIB PATH
random_file() { head -c "$(($1 << 20))" /dev/urandom >"$2"; }

# small_files COUNT BYTES DIR: that many files of random bytes, in folders of up to 1,000.
small_files() {
  local left=$1 batch folder=0
  while [ "$left" -gt 0 ]; do
    batch=$((left < 1000 ? left : 1000))
    folder=$((folder + 1))
    mkdir -p "$3/$folder"
    head -c $((batch * $2)) /dev/urandom | split -a 3 -d -b "$2" - "$3/$folder/f"
    left=$((left - batch))
  done
}

# source_code MIB DIR: about that much source text, out of what cargo keeps of other people's; CORPUS overrides.
source_code() {
  local corpus=${CORPUS:-${CARGO_HOME:-$people_home/.cargo}/registry/src} round=0 have=0
  [ -d "$corpus" ] || skip "no source code at $corpus; CORPUS=DIR says where some is"
  while [ "$have" -lt $(($1 << 20)) ]; do
    round=$((round + 1))
    mkdir -p "$2/$round"
    (cd "$corpus" && find . -type f \( -name '*.rs' -o -name '*.c' -o -name '*.h' -o -name '*.S' -o -name '*.toml' \
      -o -name '*.md' -o -name '*.py' -o -name '*.txt' \) -printf '%p\t%s\n' | sort |
      awk -F'\t' -v room=$((($1 << 20) - have)) 'sum < room { sum += $2; print $1 }' |
      tar -cf - -T -) | tar -xf - -C "$2/$round"
    [ "$(size_of "$2")" -gt "$have" ] || skip "no source code in $corpus"
    have=$(size_of "$2")
  done
}

# Bytes of all files below a folder.
size_of() { find "$1" -type f -printf '%s\n' | awk '{ sum += $1 } END { printf "%d", sum }'; }

# --- Measuring -------------------------------------------------------------------------------------

# measure NAME CMD…: runs a command or function, and notes its seconds and the processor seconds of both
# ends (its own, its children's, those of `ends`) as a run of NAME.
measure() {
  local name=$1 before after; shift
  before=$(spent)
  local TIMEFORMAT='%3R %3U %3S'
  # shellcheck disable=SC2261 # the first are the command's, the last is what `time` says
  { time "$@" >"$work/out" 2>"$work/err"; } 2>"$work/took" || die "$name failed: $(tail -3 "$work/err")"
  within 10 calm || true
  after=$(spent)
  awk -v more="$(calc "$after - $before")" '{ print $1, $2 + $3 + more }' "$work/took" >>"$work/time/$name"
}

# Processor seconds that `ends` and their ended children have used.
spent() {
  local pid
  for pid in "${ends[@]}"; do sed 's/.*) //' "/proc/$pid/stat"; done |
    awk -v tick="$(getconf CLK_TCK)" '{ sum += $12 + $13 + $14 + $15 } END { printf "%.2f", sum / tick }'
}

# Whether the servers have nothing left to do: no child, and no processor time for a while.
calm() {
  local pid before
  for pid in "${ends[@]}"; do [ -z "$(cat "/proc/$pid/task/$pid/children")" ] || return 1; done
  before=$(spent)
  sleep 0.1
  [ "$before" = "$(spent)" ]
}

# seconds NAME, processor NAME: the median of a name's runs.
seconds() { median 1 "$work/time/$1"; }
processor() { median 2 "$work/time/$1"; }

# median FIELD FILE
median() {
  awk -v f="$1" '{ print $f }' "$2" | sort -g |
    awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# The most memory a running process has had, in MiB.
most_memory() { awk '/^VmHWM/ { printf "%.1f", $2 / 1024 }' "/proc/$1/status"; }

calc() { awk "BEGIN { printf \"%.6g\", ($1) }"; }
fixed() { awk "BEGIN { printf \"%.$1f\", ($2) }"; }
holds() { awk "BEGIN { exit !($1) }"; }

# judge CASE MEASURED RATIO TARGET: TARGET is `>= N` or `<= N`, with a unit if you like.
judge() {
  local sign number
  read -r sign number _ <<<"$4"
  if holds "$3 $sign $number"; then row "$@" reached; else row "$@" missed; fi
}

row() {
  printf '| %s | %s | %s | %s | %s |\n' "$@"
  [ -z "${BENCH_ROWS:-}" ] || printf '| %s | %s | %s | %s | %s |\n' "$@" >>"$BENCH_ROWS"
}

# --- A LAN of two hosts ----------------------------------------------------------------------------

# lan RATE: two hosts and a cable of that rate (tc's words: 1gbit), invisible to the machine's own network.
lan() {
  need root ip tc
  net=ftxbench$$
  local space
  for space in a b; do
    ip netns add "$net-$space" || skip "no network namespaces here"
    on "$space" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
    on "$space" ip link set lo up
  done
  ip link add cable netns "$net-a" type veth peer name cable netns "$net-b"
  for space in a b; do
    on "$space" ip address add "10.78.0.$([ $space = a ] && echo 1 || echo 2)/24" brd + dev cable
    on "$space" ip link set cable up
  done
  rate "$1"
  at_sender=(ip netns exec "$net-a") at_receiver=(ip netns exec "$net-b") there=10.78.0.2 iface=cable
}

# on a|b CMD…: runs it on that host.
on() { local space=$1; shift; ip netns exec "$net-$space" "$@"; }

# rate RATE: gives the cable another one.
rate() {
  local space
  for space in a b; do on "$space" tc qdisc replace dev cable root tbf rate "$1" burst 1mb latency 50ms; done
}

# lose PERCENT: both hosts lose that part of what arrives, at random.
lose() {
  need nft
  local space per_mille
  per_mille=$(fixed 0 "$1 * 10")
  for space in a b; do
    on "$space" nft -f - <<N
table inet loss {
  chain arriving { type filter hook input priority 0; iifname cable numgen random mod 1000 < $per_mille counter drop; }
}
N
  done
}

# iperf NAME [ARG…]: 10 seconds of plain TCP over the cable; notes its Mbit/s as a run of NAME.
iperf() {
  local name=$1; shift
  "${at_sender[@]}" iperf3 -c "$there" -J -O 1 -t "${IPERF_SECONDS:-10}" "$@" >"$work/iperf" ||
    die "iperf3 failed: $(grep error "$work/iperf")"
  awk '/"sum_received"/ { sum = 1 } sum && /"bits_per_second"/ { gsub(/[^0-9.e+]/, "", $2); print $2 / 1e6; exit }' \
    "$work/iperf" >>"$work/time/$name"
}
