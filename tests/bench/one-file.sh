#!/usr/bin/env bash
# One file over loopback, memory to memory, encrypted and verified: ftx beside scp with its fastest cipher,
# and beside plain file -> TCP -> file, which reads and writes 1 MiB at a time and checks nothing (a few
# lines of Python).
#
#   tests/bench/one-file.sh [MIB] [RUNS]
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
mib=${1:-2048} runs=${2:-5}
python=$(python3 -c 'import sys; print(sys.executable)' 2>/dev/null || true)   # not a wrapper: it would be timed, too
begin "one $mib MiB file" scp sshd ssh-keygen
needs_room $((mib * 2))
file=$work/file
random_file "$mib" "$file"
mkdir "$work/scp"

plain_receive='
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
stream, _ = listener.accept()
buffer = memoryview(bytearray(1 << 20))
with open(sys.argv[2], "wb", buffering=0) as file:
    while n := stream.recv_into(buffer):
        file.write(buffer[:n])'
plain_send='
import socket, sys
stream = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
buffer = memoryview(bytearray(1 << 20))
with open(sys.argv[2], "rb", buffering=0) as file:
    while n := file.readinto(buffer):
        stream.sendall(buffer[:n])'

plain() {
  "$python" -IS -c "$plain_send" "$plainport" "$file" && wait "$plain"
}
start_plain() {
  plainport=$(free_port)
  "$python" -IS -c "$plain_receive" "$plainport" "$work/scp/plain" & plain=$!
  started+=("$plain")
  within 10 listening "$plainport" || die "the plain receiver does not come up"
}

start_node
start_sshd
for run in $(seq "$runs"); do
  forget_received
  ends=("$node")
  measure ftx push --quiet "$file"
  [ "$run" -gt 1 ] || cmp "$file" "$work/in/file"
  forget_received
  ends=("$sshd")
  measure scp copy "$file" "$work/scp/file"
  [ "$run" -gt 1 ] || cmp "$file" "$work/scp/file"
  forget_received
  ends=()
  if [ -n "$python" ]; then
    start_plain
    measure plain plain
    [ "$run" -gt 1 ] || cmp "$file" "$work/scp/plain"
  fi
done

gib() { fixed 2 "$mib / 1024 / $(seconds "$1")"; }
each() { fixed 2 "$(processor "$1") * 1024 / $mib"; }
judge "$title, beside scp" "ftx $(gib ftx) GiB/s, scp aes128-gcm $(gib scp) GiB/s" \
  "$(fixed 2 "$(seconds scp) / $(seconds ftx)")" ">= 1.5"
if [ -n "$python" ]; then
  judge "$title, beside plain TCP" "ftx $(gib ftx) GiB/s, plain read and write $(gib plain) GiB/s" \
    "$(fixed 2 "$(seconds plain) / $(seconds ftx)")" ">= 0.30"
else
  row "$title, beside plain TCP" "" "" ">= 0.30" "skipped: python3 is missing"
fi
judge "$title, processor time" "ftx $(each ftx) s/GiB, scp $(each scp) s/GiB, both ends" \
  "$(fixed 2 "$(processor ftx) / $(processor scp)")" "<= 0.85"
