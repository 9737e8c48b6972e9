#include "simt/fiber.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

#include "simt/sanitizer.h"

// gpu_simt_switch(save, to): pushes the callee-saved registers, stores the stack pointer to *save, takes `to`
// for the stack pointer, and pops what an earlier switch (or Fiber::prepare) left there. It ends with `ret`,
// which the branch predictor likes better than an indirect jump.
extern "C" void gpu_simt_switch(void** save, void* to);
extern "C" void gpu_simt_start();

#if defined(__x86_64__)
asm(R"(
.text
.globl gpu_simt_switch
.type gpu_simt_switch, @function
gpu_simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size gpu_simt_switch, . - gpu_simt_switch
.globl gpu_simt_start
.type gpu_simt_start, @function
gpu_simt_start:
  movq %r12, %rdi
  callq *%r13
  ud2
.size gpu_simt_start, . - gpu_simt_start
)");
#elif defined(__aarch64__)
asm(R"(
.text
.globl gpu_simt_switch
.type gpu_simt_switch, %function
gpu_simt_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size gpu_simt_switch, . - gpu_simt_switch
.globl gpu_simt_start
.type gpu_simt_start, %function
gpu_simt_start:
  mov x0, x19
  blr x20
  brk #1
.size gpu_simt_start, . - gpu_simt_start
)");
#else
#error "the SIMT emulation has a context switch for x86-64 and aarch64 only"
#endif

namespace gpu::simt {
namespace {

// Address sanitizer puts red zones around each local variable.
#if GPU_ADDRESS_SANITIZER
constexpr size_t usable_stack = 256 * 1024;
#else
constexpr size_t usable_stack = 64 * 1024;
#endif

size_t page_size() {
  static const size_t size = size_t(sysconf(_SC_PAGESIZE));
  return size;
}

}  // namespace

Fiber::~Fiber() {
  if (owns_stack_) munmap(stack_ - page_size(), stack_size_ + page_size());
}

void Fiber::prepare(void (*entry)(void*), void* argument) {
  if (!owns_stack_) {
    // The lowest page stays unmapped: running off the stack stops the process instead of corrupting a
    // neighbour.
    void* memory = mmap(nullptr, usable_stack + page_size(), PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    stack_ = static_cast<char*>(memory) + page_size();
    stack_size_ = usable_stack;
    owns_stack_ = true;
    if (mprotect(stack_, stack_size_, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
  }
#if GPU_ADDRESS_SANITIZER
  __asan_unpoison_memory_region(stack_, stack_size_);
  sanitizer_stack_ = nullptr;
#endif
  void** top = reinterpret_cast<void**>(stack_ + stack_size_);
#if defined(__x86_64__)
  // From the top down: two words, so that the stack is aligned to 16 once `ret` has taken the address; then
  // rbp rbx r12 r13 r14 r15.
  *--top = nullptr;
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(gpu_simt_start);
  *--top = nullptr;
  *--top = nullptr;
  *--top = argument;                        // r12
  *--top = reinterpret_cast<void*>(entry);  // r13
  *--top = nullptr;
  *--top = nullptr;
#else
  top -= 20;
  for (int i = 0; i < 20; ++i) top[i] = nullptr;
  top[0] = argument;                                  // x19
  top[1] = reinterpret_cast<void*>(entry);            // x20
  top[11] = reinterpret_cast<void*>(gpu_simt_start);  // x30
#endif
  saved_ = top;
}

void Fiber::change(Fiber& from, Fiber& to) {
#if GPU_ADDRESS_SANITIZER
  if (!to.stack_) {
    // The operating system thread's own stack.
    pthread_attr_t attributes;
    void* lowest = nullptr;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
      pthread_attr_getstack(&attributes, &lowest, &to.stack_size_);
      pthread_attr_destroy(&attributes);
    }
    to.stack_ = static_cast<char*>(lowest);
  }
  __sanitizer_start_switch_fiber(&from.sanitizer_stack_, to.stack_, to.stack_size_);
#endif
  gpu_simt_switch(&from.saved_, to.saved_);
#if GPU_ADDRESS_SANITIZER
  __sanitizer_finish_switch_fiber(from.sanitizer_stack_, nullptr, nullptr);
#endif
}

void Fiber::entered() {
#if GPU_ADDRESS_SANITIZER
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

}  // namespace gpu::simt
