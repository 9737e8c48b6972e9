// What a kernel that is wrong on purpose must be told.
#pragma once

#include "tests/support.h"

namespace gpu::test {

/// Runs one launch; the text of its fault, or empty.
inline std::string fault_of_launch(const simt::Options& options,
                                   const std::function<Status(Stream)>& launch) {
  simt::Stream stream;
  stream.options = options;
  const Status status = launch(&stream);
  EXPECT((status != 0) == !stream.fault.empty());
  return stream.fault;
}

/// A fault says what went wrong, in which kernel and block, and names the kernel's own line.
inline void expect_fault_text(const std::string& fault, const char* part, const char* kernel,
                              const char* source) {
  EXPECT_TEXT(fault, part);
  EXPECT_TEXT(fault, std::string("kernel ") + kernel + ", block (0, 0, 0)");
  EXPECT_TEXT(fault, std::string(source) + ":");
}

/// What only the checker sees, it sees under every schedule.
inline void expect_report_text(const std::function<std::string(const simt::Options&)>& fault,
                               const char* part) {
  if (!checked) return;
  for (const simt::Options& options :
       {simt::Options{}, simt::Options{simt::Schedule::descending, simt::AsyncTiming::eager, 1, 1},
        simt::Options{simt::Schedule::random, simt::AsyncTiming::random, 9, 1}}) {
    EXPECT_TEXT(fault(options), part);
  }
}

}  // namespace gpu::test
