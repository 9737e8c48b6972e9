# Sourced after setup.sh: builds and runs the kernel tests in one of the flavours plain, check and asan, or plain by another
# compiler: clang, aarch64 and aarch64-clang, of which the last two run under qemu's emulation of that processor.
#
# Sources are found by what they are: *.cu are kernels (C++ on the host), tests/*.cpp are tests, simt/**/*.cpp the
# emulation. The checker flavour instruments the kernels, and nothing else.

# kernel_compiler FLAVOUR : the compiler, with its target.
kernel_compiler() {
  case "$1" in
    clang) echo clang++ ;;
    aarch64) echo aarch64-linux-gnu-g++ ;;
    aarch64-clang) echo clang++ --target=aarch64-linux-gnu ;;
    *) echo "${CXX:-g++}" ;;
  esac
}

# kernel_flags FLAVOUR KIND : the compiler's options for a source of KIND kernel, runtime or test.
kernel_flags() {
  local flavour=$1 kind=$2
  # Contraction would let the bits depend on the processor; -g gives the checker line numbers.
  local flags="-std=c++17 -g1 -Wall -Wextra -Werror -Wno-psabi -ffp-contract=off -pthread"
  # libstdc++'s stable_sort calls what libstdc++ deprecates, which clang reports where it is instantiated. Launch bounds are
  # for nvcc; on the host nothing is left of them.
  case "$flavour" in *clang) flags+=" -Wno-deprecated-declarations -Wno-unused-const-variable" ;; esac
  case "$flavour" in clang | aarch64 | aarch64-clang) flavour=plain ;; esac
  case "$flavour/$kind" in
    plain/runtime | check/runtime) flags+=" -O3" ;;
    plain/kernel) flags+=" -O2" ;;
    check/kernel) flags+=" -O1 -fsanitize=thread" ;;
    asan/*) flags+=" -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" ;;
    */test) flags+=" -O1" ;;
  esac
  [ "$flavour" != check ] || flags+=" -DGPU_CHECKED_KERNELS"
  [ "$flavour" != asan ] || flags+=" -DGPU_ADDRESS_SANITIZED=1"
  echo "$flags"
}

# kernel_sources FOLDER : "KIND PATH" of each source, paths relative to FOLDER.
kernel_sources() {
  (
    cd "$1"
    find . -name '*.cu' -printf 'kernel %P\n'
    find simt -name '*.cpp' -printf 'runtime simt/%P\n'
    find table -name '*.cpp' -printf 'runtime table/%P\n'
    find tests -name '*.cpp' -printf 'test tests/%P\n'
  ) | sort
}

# stale OBJECT : whether it is missing, or older than something it was made of.
stale() {
  [ -f "$1" ] && [ -f "${1%.o}.d" ] || return 0
  local input
  for input in $(sed -e 's/^[^:]*://' -e 's/\\$//' "${1%.o}.d"); do
    [ "$input" -nt "$1" ] || [ ! -e "$input" ] && return 0
  done
  return 1
}

# build_kernel_tests FLAVOUR SOURCES OUTPUT : compiles what changed, JOBS (2) files at a time, and links OUTPUT/tests.
build_kernel_tests() {
  local flavour=$1 sources=$2 output=$3
  mkdir -p "$output"
  local kind path object compiler commands="$output/commands" objects=()
  compiler=$(kernel_compiler "$flavour")
  : >"$commands"
  # Options that changed make everything stale.
  local options; options="$compiler $(for kind in kernel runtime test; do kernel_flags "$flavour" "$kind"; done)"
  [ "$(cat "$output/options" 2>/dev/null)" = "$options" ] || rm -f "$output"/*.o
  echo "$options" >"$output/options"
  while read -r kind path; do
    object="$output/$(tr / - <<<"${path%.*}").o"
    objects+=("$object")
    stale "$object" || continue
    printf '%s %s -I"%s" -MMD -c -x c++ "%s" -o "%s"\n' "$compiler" "$(kernel_flags "$flavour" "$kind")" \
      "$sources" "$sources/$path" "$object" >>"$commands"
  done < <(kernel_sources "$sources")
  xargs -r -P "${JOBS:-2}" -d '\n' -n 1 sh -c <"$commands" >&2 || return 1
  if [ -s "$commands" ] || [ ! -x "$output/tests" ]; then
    # The checker supplies the hooks of -fsanitize=thread itself, so the linker must not hear of that option.
    local link=(-pthread)
    [ "$flavour" != asan ] || link+=(-fsanitize=address,undefined)
    # shellcheck disable=SC2086 # a compiler and its target
    $compiler "${objects[@]}" "${link[@]}" -ldl -o "$output/tests" >&2 || return 1
  fi
}

# run_kernel_tests FLAVOUR OUTPUT ARGUMENT...
run_kernel_tests() {
  local flavour=$1 output=$2 processor=(); shift 2
  case "$flavour" in
    aarch64*) processor=("$(command -v qemu-aarch64-static qemu-aarch64 | head -n 1)" -L /usr/aarch64-linux-gnu) ;;
  esac
  # Fibers that a fault abandons leave frames behind: neither leak nor use-after-return detection can know that.
  ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0 UBSAN_OPTIONS=print_stacktrace=1 \
    "${processor[@]}" "$output/tests" "$@"
}
