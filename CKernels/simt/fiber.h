// User-level threads: a stack of their own, switched to and from by a few instructions.
#pragma once

#include <cstddef>

namespace gpu::simt {

/// An execution context. A fiber never leaves the operating system thread it was first run on.
class Fiber {
 public:
  /// The context of the calling operating system thread.
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber();

  /// Makes the next switch to this fiber call `entry(argument)` on a fresh stack. `entry` must not return. A
  /// fiber that was left in the middle of something may be prepared again: what was on its stack is
  /// forgotten, not destroyed.
  void prepare(void (*entry)(void*), void* argument);

  /// Suspends `from`, which must be running, and resumes `to`.
  static void change(Fiber& from, Fiber& to);

  /// To be called first by each `entry`.
  void entered();

  bool holds(const void* address) const {
    auto* byte = static_cast<const char*>(address);
    return byte >= stack_ && byte < stack_ + stack_size_;
  }

 private:
  void* saved_ = nullptr;
  char* stack_ = nullptr;
  size_t stack_size_ = 0;
  [[maybe_unused]] void* sanitizer_stack_ = nullptr;
  bool owns_stack_ = false;
};

}  // namespace gpu::simt
