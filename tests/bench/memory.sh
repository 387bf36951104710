#!/usr/bin/env bash
# The memory of both ends at its highest: for one file, small and large, and for very many entries.
#
#   tests/bench/memory.sh [SMALL_MIB] [LARGE_MIB] [ENTRIES]
#
# The small file is random bytes; the large one is a hole, which takes room only where it arrives. The
# entries are files of 1 byte: hard links where they are sent from, files where they arrive (5 GiB of
# memory for 1,000,000). They are sent once more, going on with what a receiver left that was killed.
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
small=${1:-256} large=${2:-8192} entries=${3:-1000000}
begin "memory" /usr/bin/time
needs_room $((large > entries / 128 ? large : entries / 128))

# weigh CASE LIMIT PATH: pushes to a node that has done nothing else.
weigh() {
  local sender receiver
  title=$1
  start_node plain
  /usr/bin/time -f %M -o "$work/most" "$ftx" push --quiet --interface "$iface" "$3" "[$there:$port]" >/dev/null
  sender=$(fixed 1 "$(tail -1 "$work/most") / 1024") receiver=$(most_memory "$node")
  stop_node
  forget_received
  judge "$title" "sender $sender MiB, receiver $receiver MiB" \
    "$(calc "$sender > $receiver ? $sender : $receiver")" "<= $2 MiB"
}

random_file "$small" "$work/small"
weigh "memory for one file of $small MiB" 32 "$work/small"
rm "$work/small"
truncate -s "${large}M" "$work/large"
weigh "memory for one file of $large MiB" 32 "$work/large"
rm "$work/large"

# Folders of 1,000; the first is made, the others are links to its files.
mkdir "$work/many"
small_files 1000 1 "$work/many"
for folder in $(seq 2 $((entries / 1000))); do cp -al "$work/many/1" "$work/many/$folder"; done
weigh "memory for $entries entries" 256 "$work/many"

# Whether the node has noted at least so many bytes of what came.
noted() { [ "$(cat "$work"/in/.ftx-partial/*/journal | wc -c)" -ge "$1" ]; }

title="memory for the rest of $entries entries"
start_node plain
"$ftx" push --quiet --interface "$iface" "$work/many" "[$there:$port]" >/dev/null 2>&1 &
first=$!
# Of each, some 75 bytes.
within 120 noted $((entries * 60)) || die "the first push does not come far"
kill -9 "$node"
kill "$first" 2>/dev/null || die "the first push ended too early"
wait "$node" "$first" 2>/dev/null || true
weigh "$title" 256 "$work/many"
