# shellcheck shell=bash
# What the scripts share: messages, options, Debian packages, the build. Sourced after `set -euo pipefail` with $root, the
# checkout's folder, set.
: "${root:?}"

# Debian packages by what needs them. fonts-dejavu-core: without a font gnuplot draws no labels, and sheets have no names.
build_packages=(
  libopenblas-dev libdnnl-dev libpng-dev libjpeg62-turbo-dev libexif-dev libwebp-dev libarchive-dev
  libfreetype-dev libharfbuzz-dev libsndfile1-dev libhdf5-dev libxxhash-dev zlib1g-dev libzstd-dev libopenmpi-dev pkg-config
)
# shellcheck disable=SC2034 # used by the scripts
run_packages=(gnuplot-nox fonts-dejavu-core openmpi-bin)
# The text that --task lm learns without --data.
language_packages=(wordnet-base)
# The pictures and names that --task multimodal learns without --data.
emoji_packages=(fonts-noto-color-emoji unicode-data)
# Who speaks the names where a model of --task multimodal hears them.
speech_packages=(espeak-ng)
# What fetches public data sets.
fetch_packages=(curl ca-certificates)
# --data fashion-mnist.
fashion_packages=(dataset-fashion-mnist)
# --svg.
drawing_packages=(graphviz)
# The independent float64 reference of the tests is written in Python; zstd packs text for them; iproute2 limits links.
# shellcheck disable=SC2034 # used by the scripts
test_packages=(
  python3-numpy python3-h5py zstd iproute2 shellcheck "${language_packages[@]}" "${emoji_packages[@]}"
  "${speech_packages[@]}" "${fetch_packages[@]}"
)

# `scripts/test --with-peers`: Python's packages go into an environment of their own, and a browser opens the pages.
# shellcheck disable=SC2034 # used by the scripts
peer_packages=(python3-venv chromium)

# One set of flags for program and tests, so that one build serves both.
swift_flags=(-c release -Xswiftc -enable-testing)

# A user's PATH on Debian lacks the folders of tc, and after plain `su` those of the programs that dpkg runs.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

# Ctrl-C says so, whatever runs; without it an interrupted build reads as one that failed.
trap 'printf "interrupted\n" >&2; exit 130' INT

# Where .build is. Of a checkout that cannot be written it is another folder (use_cache).
build_root=$root

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# usage MESSAGE: ends because of a wrong command line.
usage() {
  local name=${BASH_SOURCE[-1]##*/}
  printf '%s: %s; see scripts/%s --help\n' "$name" "$*" "$name" >&2
  exit 64
}

# parse_options "NAME …" ARGUMENT…: every `NAME VALUE` or `NAME=VALUE` sets the variable that is called as NAME without its
# dashes; the arguments from the first that is no option go to the array `operands`. --help prints the comment that the
# script starts with.
parse_options() {
  local known=$1 name value
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      -h | --help)
        awk 'NR > 1 { if (!sub(/^# ?/, "")) exit; print }' "$root/scripts/${BASH_SOURCE[-1]##*/}"
        exit 0
        ;;
      --)
        shift
        break
        ;;
      -?*) name=${1%%=*} ;;
      *) break ;;
    esac
    [[ " $known " == *" $name "* ]] || usage "$name: unknown option${known:+, expected $known}"
    case $1 in
      *=*)
        value=${1#*=}
        shift
        ;;
      *)
        # The next option is no value: `--rate --burst 1kb` lacks one.
        if [ $# -lt 2 ] || [[ " $known " == *" ${2%%=*} "* ]]; then usage "$name needs a value"; fi
        value=$2
        shift 2
        ;;
    esac
    name=${name#-}
    printf -v "${name#-}" '%s' "$value"
  done
  # shellcheck disable=SC2034 # for the script
  operands=("$@")
}

# require_counts NAME…: the variables of these options must hold whole numbers of at least 1.
require_counts() {
  local option name
  for option in "$@"; do
    name=${option#-}
    name=${name#-}
    [[ ${!name} =~ ^[1-9][0-9]{0,8}$ ]] || usage "$option is '${!name}', expected a whole number of at least 1"
  done
}

# packages_for ARGUMENT…: what a command of mmoe with these arguments needs beyond build and run packages, one a line.
packages_for() {
  local line=" $* " argument
  # A study says it in its file.
  if [[ $line == *" study "* ]]; then
    for argument in "$@"; do
      [ ! -f "$argument" ] || line+=$(sed -nE 's/^(task|preset|data): */--\1 /p' "$argument" | tr '\n' ' ')
    done
  fi
  # A set by its name, wherever a command takes data.
  case $line in *" fashion-mnist "* | *"=fashion-mnist "*) printf '%s\n' "${fashion_packages[@]}" ;; esac
  case $line in *" data fetch "?*) printf '%s\n' "${fetch_packages[@]}" ;; esac
  # Who brings data needs none of ours.
  if [[ $line != *" --data"[\ =]* ]]; then
    case $line in
      *" --task lm "* | *" --task=lm "*) printf '%s\n' "${language_packages[@]}" ;;
      *" --task multimodal "* | *" --task=multimodal "* | *" data import emoji "*) printf '%s\n' "${emoji_packages[@]}" ;;
    esac
    case $line in
      *" data import emoji "*"--speech "* | *pairs-emoji-speech* | *" fusion.modalities="*audio*)
        printf '%s\n' "${speech_packages[@]}"
        ;;
    esac
  fi
  case $line in *" --svg "* | *" --svg="*) printf '%s\n' "${drawing_packages[@]}" ;; esac
}

# missing_packages PACKAGE…: those that are not installed, one a line. What is on hold is installed.
missing_packages() {
  local installed package
  # dpkg-query ends with 1 when it knows nothing of one of them, and still prints the others.
  installed=" $(dpkg-query -W -f='${db:Status-Status}:${Package} ' "$@" 2>/dev/null || true) "
  for package in "$@"; do
    [[ $installed == *" installed:$package "* ]] || printf '%s\n' "$package"
  done
}

# list_packages: every package for `mmoe doctor`, one a line: what for, needed or optional, its name, installed or missing.
list_packages() {
  local group use need package state missing
  while IFS=: read -r group use need; do
    local -n packages=${group}_packages
    missing=" $(missing_packages "${packages[@]}" | tr '\n' ' ')"
    for package in "${packages[@]}"; do
      state=installed
      [[ $missing != *" $package "* ]] || state=missing
      printf '%s\t%s\t%s\t%s\n' "$use" "$need" "$package" "$state"
    done
  done <<'GROUPS'
run:plots and ranks:needed
build:to build mmoe:optional
language:--task lm without --data:optional
emoji:--task multimodal without --data:optional
speech:spoken names of emoji:optional
fashion:--data fashion-mnist:optional
drawing:--svg:optional
test:to test mmoe:optional
GROUPS
}

# apt_get LOG ARGUMENT…: apt-get as root, by way of the array `as_root`; its output goes to LOG alone.
# The variables are set behind sudo, which drops those of its caller.
apt_get() {
  local log=$1 began=$SECONDS code
  shift
  while true; do
    code=0
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C \
      apt-get -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1 </dev/null || code=$?
    # apt waits for the lock of dpkg by itself, not for the one of the lists.
    if [ $code = 0 ] || [ $((SECONDS - began)) -ge 300 ] || ! grep -q 'Could not get lock' "$log"; then
      return $code
    fi
    printf 'another program holds a lock of apt; waiting\n' >&2
    sleep 5
  done
}

# install_packages PACKAGE…: installs those that are missing.
install_packages() {
  local missing as_root=() began=$SECONDS log by_hand reason
  command -v dpkg-query >/dev/null 2>&1 ||
    fail "dpkg-query: not found; the scripts install Debian packages. Elsewhere install ${build_packages[*]} as they are called there, and run: swift build ${swift_flags[*]}"
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  by_hand="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || fail "missing Debian packages; install them as root with: $by_hand"
    by_hand="sudo apt-get update && sudo ${by_hand#*&& }"
    sudo -n true 2>/dev/null || fail "missing Debian packages; install them with: $by_hand"
    as_root=(sudo -n)
  fi
  log=$(mktemp -d)
  printf 'installing %s\n' "${missing[*]}" >&2
  # The lists may be missing or old on a fresh machine; only then is an update worth its time. It may fail for a source
  # that has none of these packages, so what counts is whether they can be installed after it.
  if ! apt_get "$log/install" install -y --no-install-recommends "${missing[@]}"; then
    apt_get "$log/update" update || true
    if ! apt_get "$log/install" install -y --no-install-recommends "${missing[@]}"; then
      # The first complaint of apt, or else the last line.
      reason=$(awk '/^[EW]: / { print; found = 1; exit } { last = $0 } END { if (!found) print last }' \
        "$log/update" "$log/install")
      fail "could not install ${missing[*]} ($reason); try: $by_hand (logs: $log)"
    fi
  fi
  rm -rf "$log"
  printf 'installed in %d s\n' "$((SECONDS - began))" >&2
}

require_swift() {
  command -v swift >/dev/null 2>&1 ||
    fail "swift: not found on the PATH; install Swift 6.3 (swift.org/install) and try again"
}

# build_inputs STAMP ARGUMENT…: all that `swift build ARGUMENT…` depends on, as text. Where there is no compiler, which is
# not needed to run what is built, the one that STAMP names.
build_inputs() {
  local stamp=$1
  shift
  printf '%s\n' "$root" "${swift_flags[*]} $*" "oneDNN $MMOE_ONEDNN"
  swift --version 2>/dev/null || sed -n '/^Swift version /,/^Target: /p' "$stamp" 2>/dev/null || true
  dpkg-query -W -f='${Package} ${Version}\n' "${build_packages[@]}" 2>/dev/null || true
  (cd "$root" && find Package.swift Sources Tests -path Tests/Fuzz -prune -o -path Tests/Reference -prune -o \
    -type f -printf '%p %s %T@\n' | LC_ALL=C sort)
}

# build_outputs PRODUCT…: size and time of the built files, as text; fails when one is missing.
build_outputs() {
  (cd "$build_root/.build/release" && stat -c '%n %s %y' "$@") 2>/dev/null
}

# is_built STAMP INPUTS PRODUCT…: whether STAMP was written for these inputs and for the products as they are now.
is_built() {
  local stamp=$1 inputs=$2
  shift 2
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$inputs"$'\n'"$(build_outputs "$@")" ]
}

# show_progress: reads the output of a build, and says now and then how far it is.
show_progress() {
  local part line="" text="" code began=$SECONDS next=0 redraws=false
  [ -t 2 ] && [ "${TERM:-dumb}" != dumb ] && redraws=true
  while true; do
    code=0
    IFS= read -r -t 1 part || code=$?
    line+=$part
    if [ $code -le 128 ]; then
      [[ $line =~ ^(\[[0-9]+/[0-9]+\]|Fetch|Another\ instance) ]] && text=$line
      line=""
    fi
    if [ -n "$text" ] && $redraws; then
      printf '\r\033[K%.79s' "$((SECONDS - began)) s: $text" >&2
    elif [ -n "$text" ] && [ $SECONDS -ge $next ]; then
      printf '%d s: %s\n' "$((SECONDS - began))" "$text" >&2
      next=$((SECONDS + 30))
    fi
    # Above 128: nothing came for a second.
    [ $code = 0 ] || [ $code -gt 128 ] || break
  done
  if $redraws; then printf '\r\033[K' >&2; fi
}

# drop_foreign_build: a build folder that was made elsewhere holds paths and compiled modules of that place, with which no
# build succeeds. What was downloaded stays.
drop_foreign_build() (
  cd "$build_root/.build" || exit
  shopt -s nullglob
  local plans=(release.yaml debug.yaml) made_in="another folder"
  if [ -f built-in ]; then
    made_in=$(cat built-in)
  elif ! compgen -G '*.yaml' >/dev/null || grep -qsF "\"$build_root/Sources/" "${plans[@]}"; then
    made_in=$build_root
  fi
  if [ "$made_in" != "$build_root" ]; then
    printf 'the build was made in %s; building anew\n' "$made_in" >&2
    rm -rf release debug ./*.yaml ./*.db ./*-unknown-* plugins index-build built-*
  fi
  printf '%s\n' "$build_root" >built-in
)

# can_write FOLDER: whether files can be made in it; it is made where it is missing.
can_write() { mkdir -p "$1" 2>/dev/null && [ -w "$1" ]; }

# use_cache: builds in the user's cache, for a checkout that cannot be written. There the checkout is a folder of links to its
# entries: SwiftPM writes beside the manifest, and the program finds presets and data above itself.
use_cache() {
  local cache=${MMOE_CACHE:-} name entry
  if [ -z "$cache" ] && [ -n "${XDG_CACHE_HOME:-${HOME:-}}" ]; then
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/mmoe
  fi
  [ -n "$cache" ] ||
    fail "$root/.build: cannot be written, and what is built there is not up to date; set MMOE_CACHE to a folder that can be written"
  name=$(printf '%s' "$root" | sha256sum)
  build_root=$cache/checkout-${name:0:16}
  can_write "$build_root/.build" ||
    fail "$root/.build: cannot be written, nor can $build_root; set MMOE_CACHE to a folder that can be written"
  for entry in "$root"/*; do
    if [ "${entry##*/}" = Package.resolved ]; then
      cmp -s "$entry" "$build_root/Package.resolved" || cp "$entry" "$build_root/Package.resolved"
    else
      ln -sfn "$entry" "$build_root/${entry##*/}"
    fi
  done
}

# build mmoe | build tests: builds the program, or all that tests need, unless that is done.
build() {
  local what=$1 stamp log began=$SECONDS arguments products inputs lock
  case $what in
    mmoe) arguments=(--product mmoe) products=(mmoe) ;;
    tests) arguments=(--build-tests) products=(mmoe parallel-checks mmoePackageTests.xctest) ;;
  esac
  # The manifest looks for oneDNN, but SwiftPM keeps what it found until the manifest or the environment changes.
  if [ "${MMOE_ONEDNN:-}" != 0 ] && [ -e /usr/include/dnnl.h ]; then MMOE_ONEDNN=1; else MMOE_ONEDNN=0; fi
  export MMOE_ONEDNN
  stamp="$build_root/.build/built-$what"
  inputs=$(build_inputs "$stamp" "${arguments[@]}")
  is_built "$stamp" "$inputs" "${products[@]}" && return 0
  if ! can_write "$build_root/.build"; then
    use_cache
    stamp="$build_root/.build/built-$what"
    inputs=$(build_inputs "$stamp" "${arguments[@]}")
    is_built "$stamp" "$inputs" "${products[@]}" && return 0
    printf '%s: cannot be written; building in %s (MMOE_CACHE names another folder)\n' "$root" "$build_root" >&2
  fi
  require_swift
  log="$build_root/.build/build.log"
  # Two builds at once would break each other.
  exec {lock}>"$build_root/.build/built.lock"
  if ! flock -n "$lock"; then
    printf 'waiting for another build of %s\n' "$build_root" >&2
    flock "$lock"
  fi
  inputs=$(build_inputs "$stamp" "${arguments[@]}")
  if ! is_built "$stamp" "$inputs" "${products[@]}"; then
    drop_foreign_build
    printf 'building (the first time takes a few minutes)\n' >&2
    if ! swift build --package-path "$build_root" "${swift_flags[@]}" "${arguments[@]}" 2>&1 | tee "$log" | show_progress; then
      grep -E 'error:' "$log" | head -n 20 >&2 || true
      tail -n 5 "$log" >&2
      fail "the build failed; the whole log is $log"
    fi
    build_outputs "${products[@]}" >/dev/null ||
      fail "the build ended without ${products[*]} in $build_root/.build/release; the whole log is $log"
    printf '%s\n%s\n' "$inputs" "$(build_outputs "${products[@]}")" >"$stamp"
    printf 'built in %d s\n' "$((SECONDS - began))" >&2
  fi
  exec {lock}>&-
}
