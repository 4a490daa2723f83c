# What scripts/mmoe, scripts/test and scripts/bench-vs-pytorch share. Sourced with $root set.

# Debian packages by what needs them. fonts-dejavu-core: without a font gnuplot draws no labels.
build_packages="libopenblas-dev libdnnl-dev libpng-dev libfreetype-dev libharfbuzz-dev libhdf5-dev libxxhash-dev zlib1g-dev libzstd-dev libopenmpi-dev pkg-config"
run_packages="gnuplot-nox fonts-dejavu-core openmpi-bin"
# The text that --task lm learns without --data.
language_packages="wordnet-base"
# The pictures and names that --task multimodal learns without --data.
emoji_packages="fonts-noto-color-emoji unicode-data"
# The independent float64 reference of the tests is written in Python; zstd packs text for them; iproute2 limits links.
test_packages="python3-numpy python3-h5py zstd iproute2 $language_packages $emoji_packages"

# One set of flags for program and tests, so that one build serves both.
swift_flags="-c release -Xswiftc -enable-testing"

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# packages_for ARGUMENT…: what a command of mmoe with these arguments needs beyond build and run packages.
packages_for() {
  case " $* " in
    *" --task lm "* | *" --task=lm "*) printf '%s\n' "$language_packages" ;;
    *" --task multimodal "* | *" --task=multimodal "* | *" data import emoji "*) printf '%s\n' "$emoji_packages" ;;
    *" --svg "* | *" --svg="*) printf 'graphviz\n' ;;
  esac
}

# install_packages PACKAGE…: installs those that are missing.
install_packages() {
  local missing="" package
  local installed
  installed=$(dpkg-query -W -f='${db:Status-Abbrev}${Package}\n' "$@" 2>/dev/null | sed -n 's/^ii *//p')
  for package in "$@"; do
    printf '%s\n' "$installed" | grep -qx "$package" || missing="$missing $package"
  done
  [ -z "$missing" ] && return 0
  local line="apt-get install -y --no-install-recommends$missing" run=""
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null && run="sudo -n" ||
      fail "missing Debian packages; install them with: sudo $line"
  fi
  local began=$SECONDS log
  log=$(mktemp)
  printf 'installing%s\n' "$missing" >&2
  # The lists may be missing or old on a fresh machine; only then is an update worth its time.
  if ! DEBIAN_FRONTEND=noninteractive $run $line >"$log" 2>&1; then
    $run apt-get update >>"$log" 2>&1
    if ! DEBIAN_FRONTEND=noninteractive $run $line >>"$log" 2>&1; then
      tail -n 5 "$log" >&2
      fail "could not install; try: sudo apt-get update && sudo $line (log: $log)"
    fi
  fi
  rm -f "$log"
  printf 'installed in %d s\n' "$((SECONDS - began))" >&2
}

# build STAMP ARGUMENT…: swift build with the shared flags, unless nothing changed since the last one of this stamp.
build() {
  local stamp="$root/.build/$1"
  shift
  if [ -f "$stamp" ] && [ -z "$(find "$root/Package.swift" "$root/Sources" "$root/Tests" -newer "$stamp" -print -quit)" ]; then
    return 0
  fi
  command -v swift >/dev/null 2>&1 ||
    fail "swift: not found on the PATH; install Swift 6.3 (swift.org/install) and try again"
  local began=$SECONDS log="$root/.build/build.log"
  mkdir -p "$root/.build"
  touch "$stamp.new"
  printf 'building (the first time takes a few minutes)\n' >&2
  # shellcheck disable=SC2086
  if ! swift build --package-path "$root" $swift_flags "$@" >"$log" 2>&1; then
    grep -E 'error:' "$log" | head -n 20 >&2 || true
    tail -n 5 "$log" >&2
    fail "the build failed; the whole log is $log"
  fi
  mv "$stamp.new" "$stamp"
  printf 'built in %d s\n' "$((SECONDS - began))" >&2
}
