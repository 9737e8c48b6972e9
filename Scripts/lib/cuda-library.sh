# Sourced by Scripts/build-cuda: compiles each source once, for all of its architectures, and links the objects and the
# table of functions into .build/cuda/libgpuinfer_cuda.so. One exported symbol, the CUDA runtime inside, the driver found
# at run time. `nvcc`, `output` and, for what disassembles, `tools` are set by the caller.

# object_of SOURCE : the object's path without its ending.
object_of() { echo "$output/$(tr / - <<<"${1%.*}")"; }

# targets_of SOURCE ARCHITECTURES : those of them that a source is for: folders named sm89 need products of E4M3, those
# named sm90 TMA and wgmma, and the table has no device code.
targets_of() {
  case "$1" in
    */sm90/* | sm90/*) case " $2 " in *" 90a "*) echo 90a ;; esac ;;
    */sm89/* | sm89/*) tr ' ' '\n' <<<"$2" | grep -vx 80 | xargs ;;
    *.cpp) echo "${2%% *}" ;;
    *) echo "$2" ;;
  esac
}

# kernel_sources_for ARCHITECTURES : kernels; those of the tests are for the emulation alone.
kernel_sources_for() {
  local source
  (cd CKernels && find . -name '*.cu' -not -path './tests/*' -printf '%P\n' | sort) | while read -r source; do
    [ -z "$(targets_of "$source" "$1")" ] || echo "$source"
  done
}
table_sources() { (cd CKernels && find table cuda -name '*.cpp' | sort); }
kernel_objects() { kernel_sources_for "$1" | while read -r source; do object_of "$source"; done; }

# compile_once SOURCE ARCHITECTURES : an object, and beside it what ptxas says of each kernel (.log).
compile_once() {
  local object options target log
  object=$(object_of "$1")
  options="-std=c++17 -O3 -x cu -Werror all-warnings -Xptxas -v,-warn-spills -Xcompiler -fPIC,-fvisibility=hidden,-Wall"
  for target in $(targets_of "$1" "$2"); do options+=" -gencode arch=compute_$target,code=sm_$target"; done
  if [ -s "$object.o" ] && [ "$(head -n 1 "$object.inputs" 2>/dev/null)" = "# $nvcc $options" ] &&
    sha256sum --check --status "$object.inputs" 2>/dev/null; then
    return
  fi
  rm -f "$object".*
  # shellcheck disable=SC2086 # the options are several words
  if ! "$nvcc" -ccbin "${CXX:-g++}" $options -ICKernels -MMD -MF "$object.d" -c "CKernels/$1" -o "$object.o" \
    >"$object.log" 2>&1; then
    cat "$object.log" >&2
    rm -f "$object.o"
    return 1
  fi
  # Notes that the compiler does not call warnings: setmaxnreg ignored, wgmma made synchronous.
  if grep -E 'C7508|C7510|C7511' "$object.log" >&2; then
    rm -f "$object.o"
    return 1
  fi
  {
    echo "# $nvcc $options"
    sed -e 's/^[^:]*://' -e 's/\\$//' "$object.d" | tr -s ' ' '\n' | grep '^CKernels/' | sort -u | xargs sha256sum
  } >"$object.inputs"
}

# compile_objects ARCHITECTURES : all sources, JOBS (2) at a time.
compile_objects() {
  export -f compile_once object_of targets_of
  export nvcc output
  { kernel_sources_for "$1"; table_sources; } |
    xargs -P "${JOBS:-2}" -I{} bash -c 'compile_once "$@"' compile {} "$1" || die 1 "the kernels do not compile"
}

# disassemble OBJECT : how often each kernel has each instruction, and how many threads it is compiled for (.sass).
disassemble() {
  [ "$1.sass" -nt "$1.o" ] && return
  PATH="$tools:$PATH"
  {
    cuobjdump -sass "$1.o" | awk '
      /^arch = / { architecture = $3 }
      /^[ \t]*Function :/ { name = $3 }
      match($0, /^[ \t]*\/\*[0-9a-f]+\*\/[ \t]+/) {
        split(substr($0, RLENGTH + 1), part, /[ ;]+/)
        count[architecture " " name " " (part[1] ~ /^@/ ? part[2] : part[1])]++
      }
      END { for (key in count) print "instruction", key, count[key] }'
    # EIATTR_MAX_THREADS: the three axes of the largest block.
    cuobjdump -elf "$1.o" | awk '
      /^arch = / { architecture = $3 }
      /^\.nv\.info\./ { name = substr($1, 10) }
      /EIATTR_MAX_THREADS/ { wanted = 1; next }
      wanted && /Value:/ { print "threads", architecture, name, $2; wanted = 0 }'
  } >"$1.sass.new" || return 1
  mv "$1.sass.new" "$1.sass"
}

disassemble_objects() {
  export -f disassemble
  export tools
  kernel_objects "$1" | xargs -P "${JOBS:-2}" -I{} bash -c 'disassemble {}' || die 1 "an object cannot be disassembled"
}

link_library() {
  local library="$output/libgpuinfer_cuda.so" objects=() exported source
  while read -r source; do objects+=("$(object_of "$source").o"); done < <(kernel_sources_for "80 89 90a"; table_sources)
  "$nvcc" -ccbin "${CXX:-g++}" -shared -cudart static -cudadevrt none -L"$(dirname "$nvcc")/../lib" \
    -o "$library" "${objects[@]}" -Xlinker --version-script=CKernels/cuda/exports.map -Xlinker -Bsymbolic -Xlinker -z,defs -ldl -lpthread -lrt ||
    die 1 "the library does not link"
  exported=$(nm -D --defined-only "$library" | awk '{ print $3 }')
  [ "$exported" = gpi_kernels ] || die 1 "the library should export gpi_kernels alone, and exports: $exported"
  say "$library: $(du -h "$library" | cut -f1)"
}
