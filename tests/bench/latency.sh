#!/usr/bin/env bash
# One file of 1 KiB to a peer that is known, from the command's start to its exit: by its name, as a person
# types it, and by its address; beside scp.
#
#   tests/bench/latency.sh [BYTES] [RUNS]
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
bytes=${1:-1024} runs=${2:-21}
begin "one file of $bytes bytes to a known peer" scp sshd ssh-keygen
mkdir "$work/scp"
file=$work/file
fresh() { head -c "$bytes" /dev/urandom >"$file"; }

start_node
start_sshd
fresh
push --quiet "$file" >/dev/null   # now it is known
for _ in $(seq "$runs"); do
  forget_received; fresh
  measure named "$ftx" push --quiet --interface "$iface" "$file" "$name"
  forget_received; fresh
  measure address push --quiet "$file"
  cmp "$file" "$work/in/file"
  measure scp copy "$file" "$work/scp/file"
done

ms() { fixed 0 "$(seconds "$1") * 1000"; }
for way in named address; do
  judge "$title, $way" "$(ms $way) ms" "$(ms $way)" "<= 40 ms"
  judge "$title, $way, beside scp" "ftx $(ms $way) ms, scp $(ms scp) ms" \
    "$(fixed 2 "$(seconds scp) / $(seconds $way)")" ">= 4"
done
