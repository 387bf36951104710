#!/usr/bin/env bash
# A hub: many clients at once, each an account of its own, beside one that moves the same bytes; how far apart the
# fastest and the slowest are, and the hub's memory. Many small files to a hub beside the same to a plain node. A
# repository of many files: how soon a folder is listed, and the hub is up.
#
#   tests/bench/hub.sh [CLIENTS] [MIB] [SMALL FILES] [FILES IN THE REPOSITORY] [RUNS]
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
clients=${1:-64} mib=${2:-64} small=${3:-10000} many=${4:-100000} runs=${5:-3}
begin "a hub and $clients clients of $mib MiB at once" setsid
needs_room $((clients * mib * 2 + 2048))

# client N CMD…: the program as that client's.
client() {
  local home=$work/home/$1; shift
  HOME=$home XDG_CONFIG_HOME=$home/.config XDG_DATA_HOME=$home/.data XDG_RUNTIME_DIR='' "$ftx" --interface lo "$@"
}
hub() { HOME=$work/hub XDG_CONFIG_HOME=$work/hub/.config XDG_RUNTIME_DIR='' "$ftx" hub "$@"; }

# As people run it: its log is in words.
start_hub() {
  hubport=$(free_port)
  HOME=$work/hub XDG_CONFIG_HOME=$work/hub/.config XDG_RUNTIME_DIR='' \
    "$ftx" --interface lo --name lab-hub hub "$work/repository" --port "$hubport" >"$work/log" 2>"$work/log.err" </dev/null &
  node=$!
  started+=("$node")
  within 30 listening "$hubport" || die "the hub does not come up: $(cat "$work/log.err")"
  within 30 grep -q listening "$work/log" || die "the hub does not say that it is up: $(cat "$work/log.err")"
}
at_hub() { printf '[127.0.0.1:%s]%s' "$hubport" "${1:-}"; }

mkdir -p "$work/hub" "$work/files" "$work/each"
start_hub
ends=("$node")
code=$(hub invite --json | sed 's/.*"code":"\([^"]*\)".*/\1/')
for i in $(seq "$clients"); do
  random_file "$mib" "$work/files/$i"
  mkdir -p "$work/home/$i"
  client "$i" --name "client-$i" join "$(at_hub)" --account "c$i" --code-file - <<<"$code" >/dev/null 2>&1 ||
    die "client $i does not join"
done

# upload N: one client's file into a folder of its own; notes how long it took.
upload() {
  local begun=$EPOCHREALTIME
  client "$1" push --quiet "$work/files/$1" "$(at_hub ":shared/c$1")" || return 1
  calc "$EPOCHREALTIME - $begun" >"$work/each/$1"
}
together() {
  local i pid all=()
  for i in $(seq "$clients"); do upload "$i" & all+=("$!"); done
  for pid in "${all[@]}"; do wait "$pid" || return 1; done
}
forget_repository() { rm -rf "$work/repository"/{shared,people}/*; }
spread=()
for run in $(seq "$runs"); do
  forget_repository
  measure one client 1 push --quiet "$work/files" "$(at_hub :shared/one)"
  [ "$run" -gt 1 ] || diff -r "$work/files" "$work/repository/shared/one/files"
  forget_repository
  measure many together
  spread+=("$(cat "$work"/each/* | awk 'NR == 1 { least = $1 } { if ($1 > most) most = $1; if ($1 < least) least = $1 } END { print most / least }')")
  if [ "$run" = 1 ]; then
    for i in $(seq "$clients"); do cmp "$work/files/$i" "$work/repository/shared/c$i/$i"; done
  fi
done
memory=$(awk '/^VmHWM/ { print int($2 / 1024) }' "/proc/$node/status")
gib() { fixed 2 "$clients * $mib / 1024 / $(seconds "$1")"; }
judge "$title, throughput" "together $(gib many) GiB/s, one alone $(gib one)" \
  "$(fixed 2 "$(seconds one) / $(seconds many)")" ">= 0.8"
worst=$(printf '%s\n' "${spread[@]}" | sort -g | sed -n "$(((runs + 1) / 2))p")
judge "$title, slowest beside fastest" "" "$(fixed 2 "$worst")" "<= 2"
judge "$title, the hub's memory" "$memory MiB" "$memory" "<= 256"

title="$small x 1 KiB to a hub beside a plain node"
small_files "$small" 1024 "$work/small"
hub_node=$node
start_node plain
ends=("$hub_node" "$node")
# What a hub does afterwards, with what came or was removed by hand, it does a second later: each waits for that.
rested() { sleep 1.5; within 20 calm; }
for run in $(seq "$runs"); do
  forget_repository
  forget_received
  rested
  measure small-hub client 1 push --quiet "$work/small" "$(at_hub :shared)"
  rested
  measure small-node client 1 push --quiet "$work/small" "[127.0.0.1:$port]"
done
judge "$title" "$(fixed 2 "$(seconds small-hub)") s beside $(fixed 2 "$(seconds small-node)") s" \
  "$(fixed 2 "$(seconds small-node) / $(seconds small-hub)")" ">= 0.5"

ends=()
title="a repository of $many files"
forget_repository
small_files "$many" 16 "$work/repository/shared/lots"
sleep 15   # until it has been taken in
for run in $(seq "$runs"); do measure ls client 1 ls --json "$(at_hub ":shared/lots")"; done
judge "$title, ls of a folder" "" "$(fixed 3 "$(seconds ls)")" "<= 0.2"
kill "${started[0]}"; within 20 gone "${started[0]}"
measure up start_hub
judge "$title, the hub is up" "" "$(fixed 2 "$(seconds up)")" "<= 2"
