#!/usr/bin/env bash
# One file over loopback, tmpfs to tmpfs: ftx beside scp with its fastest cipher, in turn, in one run.
# Prints medians, their ratio, and the memory of both ftx processes.
#
#   cargo build --release && tests/bench/one-file.sh [MIB] [RUNS]
#
# Needs Linux, python3, openssh-server and GNU time; as any user that may run sshd on a high port (root).
set -euo pipefail
mib=${1:-1024} runs=${2:-5}
ftx=${FTX:-$(cd "$(dirname "$0")/../.." && pwd)/target/release/ftx}
work=$(mktemp -d /dev/shm/ftx-bench.XXXXXX)
started=()
clean() { for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done; rm -rf "$work"; }
trap clean EXIT
mkdir -p "$work"/{alice,bob,in,ssh}
head -c "$((mib << 20))" /dev/urandom >"$work/file"

as() { local who=$1; shift; HOME="$work/$who" XDG_CONFIG_HOME="$work/$who/.config" "$@"; }
as alice /usr/bin/time -v -o "$work/receiver" "$ftx" up --interface lo --name "bench-$$" --port 0 --accept all \
  --dir "$work/in" --json >"$work/up" & started+=($!)
until [ -s "$work/up" ]; do sleep 0.05; done
port=$(python3 -c 'import json,sys; print(json.loads(open(sys.argv[1]).readline())["port"])' "$work/up")

for key in user host; do ssh-keygen -q -t ed25519 -N '' -f "$work/ssh/$key"; done
cp "$work/ssh/user.pub" "$work/ssh/authorized"; mkdir -p /run/sshd
sshport=$((20000 + $$ % 10000))
/usr/sbin/sshd -D -p $sshport -h "$work/ssh/host" -o ListenAddress=127.0.0.1 -o "AuthorizedKeysFile=$work/ssh/authorized" \
  -o StrictModes=no -o UsePAM=no -o PidFile=none & started+=($!)
sleep 1

seconds() { /usr/bin/time -o "$work/t" -f '%e %M' "$@" >/dev/null; cat "$work/t"; }
for _ in $(seq "$runs"); do
  rm -rf "$work"/in/*
  as bob seconds "$ftx" push --quiet --interface lo "$work/file" "[127.0.0.1:$port]" >>"$work/ftx.runs"
  cmp "$work/file" "$work/in/file"
  rm -rf "$work"/in/*
  seconds scp -q -i "$work/ssh/user" -P $sshport -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
    -c aes128-gcm@openssh.com "$work/file" "127.0.0.1:$work/in/scp" >>"$work/scp.runs" 2>/dev/null
done
pkill -INT -f "bench-$$" || true
wait "${started[0]}" 2>/dev/null || true
python3 - "$work" "$mib" <<'P'
import statistics, sys
work, mib = sys.argv[1], int(sys.argv[2])
runs = lambda name: [tuple(map(float, line.split())) for line in open(f"{work}/{name}.runs")]
ftx, scp = runs("ftx"), runs("scp")
f, s = (statistics.median(t for t, _ in r) for r in (ftx, scp))
receiver = next(int(l.split()[-1]) for l in open(f"{work}/receiver") if "Maximum resident" in l)
print(f"{mib} MiB: ftx {mib/1024/f:.2f} GiB/s, scp aes128-gcm {mib/1024/s:.2f} GiB/s, ratio {s/f:.2f}")
print(f"memory: sender {max(m for _, m in ftx)/1024:.0f} MiB, receiver {receiver/1024:.0f} MiB")
P
