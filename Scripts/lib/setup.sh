# Sourced by the scripts beside this folder: finds the repository, and installs what a build needs.
# Everything it does can be repeated; nothing is done twice.

set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$ROOT"

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
die() { local code=$1; shift; printf 'error: %s\n' "$*" >&2; exit "$code"; }

# install_packages PACKAGE... : Debian or Ubuntu packages, as root or through sudo; else prints the line to run.
install_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root=(sudo)
    elif command -v sudo >/dev/null && [ -t 0 ]; then as_root=(sudo)
    else die 69 "missing packages; run this as root and start again:
  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
    fi
  fi
  command -v apt-get >/dev/null || die 69 "these packages are missing and there is no apt-get: ${missing[*]}"
  say "installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# The Swift toolchain, and the two C libraries that gpuinfer links.
ensure_build_tools() {
  command -v swift >/dev/null || die 69 "no Swift toolchain found (6.2 or newer is needed).
  Install one with the steps on https://www.swift.org/install/linux/ and start again."
  local version
  version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\)\.\([0-9]*\).*/\1 \2/p' | head -n 1)
  read -r major minor <<<"${version:-0 0}"
  if [ "$major" -lt 6 ] || { [ "$major" -eq 6 ] && [ "$minor" -lt 2 ]; }; then
    die 69 "Swift $major.$minor is too old; 6.2 or newer is needed (https://www.swift.org/install/linux/)"
  fi
  install_packages pkg-config libmicrohttpd-dev libpcre2-dev
}

# python_environment NAME REQUIREMENT... : a virtual environment under .build, made once per requirement list.
# Prints the path of its interpreter.
python_environment() {
  local name=$1; shift
  local folder="$ROOT/.build/python/$name"
  local wanted; wanted=$(printf '%s\n' "$@" | sha256sum | cut -c1-16)
  if [ "$(cat "$folder/.wanted" 2>/dev/null)" != "$wanted" ]; then
    say "preparing the Python environment '$name'"
    rm -rf "$folder"
    python3 -m venv "$folder" || {
      install_packages python3-venv
      python3 -m venv "$folder"
    }
    "$folder/bin/pip" install -q --disable-pip-version-check "$@" >&2
    echo "$wanted" >"$folder/.wanted"
  fi
  echo "$folder/bin/python"
}
