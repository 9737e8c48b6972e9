// setmaxnreg: registers that warps give away and take.

#include "simt/block.h"

namespace gpu::simt {
namespace {

constexpr int file_size = 64 * 1024;
/// Of a thread; registers are handed out in eights.
constexpr int largest = 256;

struct SetArgument {
  int count;
  bool more;
};

void set(Block& block, int warp, Rendezvous& met) {
  const SetArgument& argument = met.argument<SetArgument>(0);
  int& held = block.registers.held[warp];
  if (argument.more ? argument.count < held : argument.count > held) {
    block.fail(met.site, "%s: %d registers a thread, of %d before",
               argument.more ? "take_registers" : "give_registers", argument.count, held);
  }
  if (argument.more) return;
  block.registers.free += (held - argument.count) * warp_size;
  held = argument.count;
  for (int waiting : block.registers.waiting) block.wake(waiting);
  block.registers.waiting.clear();
}

constexpr Operation set_operation = {"setmaxnreg", true, false, set};

}  // namespace

void RegisterPool::reset(int threads) {
  // What a kernel that fills a multiprocessor with one block starts with.
  const int each = file_size / threads / 8 * 8;
  free = 0;
  for (int& count : held) count = each < largest ? each : largest;
  waiting.clear();
}

void set_registers(int count, bool more, Site site) {
  Block& block = this_block();
  SetArgument argument = {count, more};
  block.meet(set_operation, full_mask, &argument, site);
  if (!more) return;
  Thread& self = block.running();
  RegisterPool& pool = block.registers;
  while (pool.held[self.warp()] != count) {
    const int needed = (count - pool.held[self.warp()]) * warp_size;
    if (pool.free >= needed) {
      pool.free -= needed;
      pool.held[self.warp()] = count;
    } else {
      pool.waiting.push_back(self.index);
      block.park("take_registers", site);
    }
  }
}

}  // namespace gpu::simt
