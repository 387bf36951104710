#!/usr/bin/env bash
# What each effort of the packer (src/flow/pack.rs) takes and gives: Zstandard's own benchmark over source code,
# in blocks of a chunk, on one thread. The ratio is the time that it takes, beside the usual effort. Nothing is
# judged: from these come the numbers that stand at the efforts.
#
#   tests/bench/effort.sh [MIB] [SECONDS]
#
# The source code is what cargo keeps of other people's; CORPUS=DIR takes other.
# shellcheck source=tests/bench/lib.sh
. "$(dirname "$0")/lib.sh"
mib=${1:-300} seconds=${2:-3}
begin "packing $mib MiB of source code" zstd tar
needs_room $((mib * 3))
source_code "$mib" "$work/text"
tar -C "$work" -cf "$work/text.tar" text

# effort NAME OPTION…: notes how much smaller, MB/s packed, MB/s unpacked: the last of the lines that overwrite
# one another.
effort() {
  local effort=$1; shift
  zstd -b "$@" -B1MiB -i"$seconds" "$work/text.tar" 2>&1 | tr '\r' '\n' |
    sed -nE 's/^.*\(x?([0-9.]+)\), *([0-9.]+) MB\/s,? *([0-9.]+) MB\/s.*$/\1 \2 \3/p' | tail -1 >"$work/time/$effort"
}
effort usual -1
effort quick -1 --zstd=tlen=3,hlog=13
effort thorough-3 -3
effort thorough-5 -5

read -r _ usual _ <"$work/time/usual"
for effort in usual quick thorough-3 thorough-5; do
  read -r ratio packed unpacked <"$work/time/$effort"
  row "$title, $effort" "$ratio times smaller at $packed MB/s, unpacked at $unpacked" \
    "$(fixed 2 "$usual / $packed")" "" "told"
done
