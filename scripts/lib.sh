# Shared by the scripts here: where we are, how to speak, how to stop.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
pins_file=$root/scripts/pins.txt

say() { printf '%s\n' "$*"; }

# fail WHAT REMEDY: says what is wrong and what to do, and ends.
fail() {
    printf 'error: %s\n' "$1" >&2
    printf 'remedy: %s\n' "$2" >&2
    exit 1
}

# pinned_wheels NAME: the version, build and sha256 of each build of a wheel, one line each.
pinned_wheels() { awk -v name="$1" '$1 == "wheel" && $2 == name { print $3, $4, $5 }' "$pins_file"; }

sha256_of() { sha256sum "$1" | cut -d ' ' -f 1; }

# quietly COMMAND...: shows what it prints only where it fails.
quietly() {
    local output
    output=$("$@" 2>&1) || { printf '%s\n' "$output" | tail -n 30 >&2; return 1; }
}
