#include "simt/checker/checker.h"

#include <utility>

#include "simt/block.h"

// Set by the linker: where the executable's own code and static data begin and end.
extern "C" const char __executable_start[];
extern "C" const char _end[];

namespace gpu::simt {
namespace {

bool is_static_data(const void* address) {
  return address >= static_cast<const void*>(__executable_start) && address < static_cast<const void*>(_end);
}

}  // namespace

void Checker::begin_block(Block& block) {
  clocks_.resize(size_t(launch_.threads));
  for (int thread = 0; thread < launch_.threads; ++thread) {
    clocks_[size_t(thread)].reset(launch_.threads);
    clocks_[size_t(thread)].advance(thread);
  }
  agents_.begin_block(launch_.threads);
  shared_.begin_block(block.shared.size(), agents_);
  global_.begin_block(agents_);
}

void Checker::access(Block& block, const void* address, int bytes, int alignment, bool write, Place place) {
  if (block.running().fiber.holds(address)) return block.check_registers(address, bytes, write, place);
  // A GPU refuses what the host's processor allows.
  if (reinterpret_cast<uintptr_t>(address) % uintptr_t(alignment) != 0) {
    block.fail(place, "%s of %d bytes at the misaligned address %p", write ? "write" : "read", bytes,
               address);
  }
  if (block.shared.holds(address)) {
    return access_shared(block, block.shared.address_of(address), bytes, write, place);
  }
  auto* byte = static_cast<const char*>(address);
  auto* arguments = static_cast<const char*>(launch_.arguments);
  bool is_argument = byte >= arguments && byte + bytes <= arguments + launch_.argument_bytes;
  if (!write && (is_argument || is_static_data(address))) return;
  access_global(block, address, bytes, write, place);
}

void Checker::access_shared(Block& block, uint32_t address, int bytes, bool write, Place place) {
  if (!block.shared.contains(address, bytes)) {
    block.fail(place, "%s of %d bytes at shared offset %lld, outside of the block's %d bytes",
               write ? "write" : "read", bytes, static_cast<long long>(address) - SharedMemory::base,
               block.shared.size());
  }
  int thread = block.running().index;
  shared_.access(block, clocks_[size_t(thread)], thread, address - SharedMemory::base, bytes, write, place);
}

void Checker::access_global(Block& block, const void* address, int bytes, bool write, Place place) {
  const int thread = block.running().index;
  access_global_as(block, thread, epoch(thread), address, bytes, write, place);
}

void Checker::access_global_as(Block& block, int slot, uint32_t epoch, const void* address, int bytes,
                               bool write, Place place) {
  if (!global_.access(block, clocks_[size_t(block.running().index)], slot, epoch, address, bytes, write,
                      place)) {
    block.fail(place, "%s of %d bytes at %p, which is no memory of the device", write ? "write" : "read",
               bytes, address);
  }
}

void Checker::add_atomically(Block& block, uint32_t address, int bytes, Place place) {
  int thread = block.running().index;
  shared_.add_atomically(block, clocks_[size_t(thread)], thread, address - SharedMemory::base, bytes, place);
}

void Checker::begin_copy(Block& block, uint32_t address, int bytes, Place place) {
  int thread = block.running().index;
  shared_.begin_copy(block, clocks_[size_t(thread)], thread, address - SharedMemory::base, bytes, place);
}

void Checker::end_copy(Block& block, uint32_t address, int bytes, Place place) {
  int thread = block.running().index;
  shared_.end_copy(clocks_[size_t(thread)], thread, address - SharedMemory::base, bytes, place);
}

void Checker::begin_load(Block& block, BulkLoad& load) {
  load.agent = agent(AgentKind::load, int(load.barrier - SharedMemory::base));
  load.epoch = next_epoch(load.agent);
  if (load.source) {
    access_global_as(block, load.agent, load.epoch, load.source, load.bytes, false, load.site);
  } else {
    for (int index = 0; index < load.box.rows(); ++index) {
      const Box::Row row = load.box.row(index);
      if (row.source) {
        access_global_as(block, load.agent, load.epoch, row.source, row.count, false, load.site);
      }
    }
  }
  shared_.begin_load(block, clocks_[size_t(block.running().index)], load.agent, load.epoch,
                     load.destination - SharedMemory::base, load.bytes, load.site);
}

void Checker::end_load(Block&, uint32_t address, int bytes) {
  shared_.end_load(address - SharedMemory::base, bytes);
}

void Checker::read_async(Block& block, const Clock& now, int agent, uint32_t epoch, uint32_t address,
                         int bytes, Place place) {
  shared_.read_async(block, now, agent, epoch, address - SharedMemory::base, bytes, place);
}

void Checker::publish(int thread) {
  Clock& own = clocks_[size_t(thread)];
  own.learn(agents_.published(thread), own[thread]);
  own.advance(thread);
}

bool Checker::knows_published(int thread, int writer, uint32_t epoch) const {
  return clocks_[size_t(thread)][agents_.published(writer)] >= epoch;
}

Clock Checker::common_clock(int first_warp, int warps) const {
  Clock common;
  for (int warp = first_warp; warp < first_warp + warps; ++warp) {
    Clock known;
    for (int lane = 0; lane < warp_size; ++lane) known.join(clocks_[size_t(warp * warp_size + lane)]);
    if (warp == first_warp) {
      common = std::move(known);
    } else {
      common.meet(known);
    }
  }
  return common;
}

void Checker::release(int thread, Clock& clock) {
  Clock& own = clocks_[size_t(thread)];
  clock.join(own);
  own.advance(thread);
}

void Checker::acquire(int thread, const Clock& clock) { clocks_[size_t(thread)].join(clock); }

void Checker::order_lanes(int warp, uint32_t lanes) {
  Clock met;
  for (int lane = 0; lane < warp_size; ++lane) {
    if (lanes >> lane & 1) release(warp * warp_size + lane, met);
  }
  for (int lane = 0; lane < warp_size; ++lane) {
    if (lanes >> lane & 1) acquire(warp * warp_size + lane, met);
  }
}

}  // namespace gpu::simt
