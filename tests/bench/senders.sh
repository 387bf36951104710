#!/usr/bin/env bash
# Many senders at once, each with a key and a name of its own, to one node, beside one sender that
# moves the same bytes.
#
#   tests/bench/senders.sh [SENDERS] [MIB] [RUNS]
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
senders=${1:-16} mib=${2:-64} runs=${3:-5}
begin "$senders senders of $mib MiB at once"
needs_room $((senders * mib * 2))
mkdir "$work/files"
for i in $(seq "$senders"); do
  random_file "$mib" "$work/files/$i"
  mkdir -p "$work/home/$i"
  # The key is made at the first start: not while it is timed.
  HOME=$work/home/$i XDG_CONFIG_HOME=$work/home/$i/.config "$ftx" --interface lo --name "sender-$i" >/dev/null 2>&1
done

together() {
  local i pid all=()
  for i in $(seq "$senders"); do
    HOME=$work/home/$i XDG_CONFIG_HOME=$work/home/$i/.config push --quiet --name "sender-$i" "$work/files/$i" & all+=("$!")
  done
  for pid in "${all[@]}"; do wait "$pid" || return 1; done
}

start_node
ends=("$node")
for run in $(seq "$runs"); do
  forget_received
  measure one push --quiet "$work/files"
  [ "$run" -gt 1 ] || diff -r "$work/files" "$work/in/files"
  forget_received
  measure many together
  [ "$run" -gt 1 ] || diff -r -x .ftx-partial "$work/files" "$work/in"
done

gib() { fixed 2 "$senders * $mib / 1024 / $(seconds "$1")"; }
each() { fixed 2 "$(processor "$1") * 1024 / $senders / $mib"; }
judge "$title" "together $(gib many) GiB/s ($(each many) CPU s/GiB), one alone $(gib one) ($(each one))" \
  "$(fixed 2 "$(seconds one) / $(seconds many)")" ">= 0.9"
