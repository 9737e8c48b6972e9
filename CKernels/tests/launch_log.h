// The largest blocks that the tests have launched each kernel with, for CKernels/budgets.
#pragma once

namespace gpu::test {

/// A line a kernel: its address in the program, threads, and bytes of dynamic shared memory. False when the
/// file cannot be written.
bool write_launches(const char* path);

}  // namespace gpu::test
