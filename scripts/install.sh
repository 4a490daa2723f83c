# shellcheck shell=bash
# What `scripts/mmoe install` does for one user, without root, and how it is taken back. Sourced after lib.sh.
: "${root:?}" "${build_root:?}"

# user_places: sets bin, the folder of the user's programs, and the array completions of `shell:file`, where each shell looks.
user_places() {
  [ -n "${HOME:-}" ] || fail "HOME is not set, so there is no folder of yours to install into"
  local data=${XDG_DATA_HOME:-}
  [[ $data == /* ]] || data=$HOME/.local/share
  bin=$HOME/.local/bin
  completions=(
    "bash:$data/bash-completion/completions/mmoe"
    "zsh:$data/zsh/site-functions/_mmoe"
    "fish:$data/fish/vendor_completions.d/mmoe.fish"
  )
}

# is_ours LINK: whether it is a link that an install made, of this checkout or another one.
is_ours() { [ -L "$1" ] && [[ $(readlink "$1") == */scripts/mmoe ]]; }

# completion_script SHELL: what the program says a shell should know. In bash, files where it knows nothing better.
completion_script() {
  "$build_root/.build/release/mmoe" --generate-completion-script "$1" </dev/null |
    sed 's/^complete -o filenames -F/complete -o bashdefault -o default -o filenames -F/'
}

install_program() {
  local bin completions entry shell file text state
  user_places
  can_write "$bin" || fail "$bin: cannot be written; call $root/scripts/mmoe by its path instead"
  state=installed
  if [ -e "$bin/mmoe" ] || [ -L "$bin/mmoe" ]; then
    is_ours "$bin/mmoe" || fail "$bin/mmoe: is another program; remove it, or call $root/scripts/mmoe by its path"
    state="replaced the link to $(readlink "$bin/mmoe"):"
    [ "$(readlink "$bin/mmoe")" != "$root/scripts/mmoe" ] || state="up to date:"
  fi
  ln -sfn "$root/scripts/mmoe" "$bin/mmoe"
  printf '%s %s, a link to %s\n' "$state" "$bin/mmoe" "$root/scripts/mmoe"
  for entry in "${completions[@]}"; do
    shell=${entry%%:*} file=${entry#*:}
    [ "$shell" = bash ] || command -v "$shell" >/dev/null 2>&1 || continue
    text=$(completion_script "$shell")
    if [ "$(cat "$file" 2>/dev/null || true)" = "$text" ]; then
      printf 'up to date: %s, completions for %s\n' "$file" "$shell"
      continue
    fi
    if ! can_write "${file%/*}"; then
      printf 'no completions for %s: %s cannot be written\n' "$shell" "${file%/*}" >&2
      continue
    fi
    # A shell that starts meanwhile reads the old file or the new one.
    printf '%s\n' "$text" >"$file.tmp-$$"
    mv -f "$file.tmp-$$" "$file"
    printf 'installed %s, completions for %s\n' "$file" "$shell"
    case $shell in
      bash)
        [ -e /usr/share/bash-completion/bash_completion ] ||
          printf 'without the package bash-completion, put into ~/.bashrc: . %q\n' "$file"
        ;;
      zsh) printf 'put into ~/.zshrc, before compinit: fpath+=(%q)\n' "${file%/*}" ;;
    esac
  done
  case ":$PATH:" in
    *":$bin:"*) ;;
    *) printf "add it to the PATH: export PATH=%q:\"\$PATH\"\n" "$bin" ;;
  esac
  printf 'scripts/mmoe uninstall takes all of this away\n'
}

uninstall_program() {
  local bin completions file found=false
  user_places
  # Earlier versions installed for all users where they could.
  for file in "$bin/mmoe" /usr/local/bin/mmoe; do
    is_ours "$file" || continue
    # Of other users' links only the one to this checkout.
    [ "$file" = "$bin/mmoe" ] || [ "$(readlink "$file")" = "$root/scripts/mmoe" ] || continue
    rm -f "$file" 2>/dev/null || fail "$file: cannot be removed; try as root"
    printf 'removed %s\n' "$file"
    found=true
  done
  for file in "${completions[@]}"; do
    file=${file#*:}
    [ -f "$file" ] || continue
    rm -f "$file" 2>/dev/null || fail "$file: cannot be removed"
    printf 'removed %s\n' "$file"
    found=true
  done
  $found || printf 'nothing is installed in %s\n' "$bin"
}
