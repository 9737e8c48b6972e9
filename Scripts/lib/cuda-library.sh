# Sourced by Scripts/build-cuda: links the kernels of all architectures and the table of functions into
# .build/cuda/libgpuinfer_cuda.so. One exported symbol, the CUDA runtime inside, the driver found at run time.

# compile_for_library SOURCE : one object with machine code for every architecture the source is for.
compile_for_library() {
  local source=$1 object targets
  object="$output/library-$(tr / - <<<"$source").o"
  targets="-gencode arch=compute_80,code=sm_80 -gencode arch=compute_89,code=sm_89 -gencode arch=compute_90a,code=sm_90a"
  case "$source" in
    */sm90/*) targets="-gencode arch=compute_90a,code=sm_90a" ;;
    *.cpp) targets="-gencode arch=compute_80,code=sm_80" ;;
  esac
  if [ -f "$object" ] && sha256sum --check --status "$object.inputs" 2>/dev/null; then return; fi
  # shellcheck disable=SC2086 # the targets are several words
  "$nvcc" -ccbin "${CXX:-g++}" -std=c++17 -O3 -x cu $targets -Werror all-warnings \
    -Xcompiler -fPIC,-fvisibility=hidden,-Wall -ICKernels -MMD -MF "$object.d" -c "CKernels/$source" -o "$object" || return 1
  sed -e 's/^[^:]*://' -e 's/\\$//' "$object.d" | tr -s ' ' '\n' | grep '^CKernels/' | sort -u | xargs sha256sum \
    >"$object.inputs"
}

link_library() {
  local library="$output/libgpuinfer_cuda.so" objects=() exported source
  local -a parts
  mapfile -t parts < <(cd CKernels && {
    find . -name '*.cu' -not -path './tests/*' -printf '%P\n'
    find table cuda -name '*.cpp'
  } | sort)
  export -f compile_for_library
  printf '%s\n' "${parts[@]}" | xargs -P "${JOBS:-2}" -I{} bash -c 'compile_for_library {}' ||
    die 1 "the library's sources do not compile"
  for source in "${parts[@]}"; do objects+=("$output/library-$(tr / - <<<"$source").o"); done
  "$nvcc" -ccbin "${CXX:-g++}" -shared -cudart static -cudadevrt none -L"$(dirname "$nvcc")/../lib" \
    -o "$library" "${objects[@]}" -Xlinker --version-script=CKernels/cuda/exports.map -Xlinker -Bsymbolic -Xlinker -z,defs -ldl -lpthread -lrt ||
    die 1 "the library does not link"
  exported=$(nm -D --defined-only "$library" | awk '{ print $3 }')
  [ "$exported" = gpi_kernels ] || die 1 "the library should export gpi_kernels alone, and exports: $exported"
  say "$library: $(du -h "$library" | cut -f1)"
}
