// Bulk copies: as early or as late as the PTX ISA allows.
//
// A load that is late happens when no thread of the block can go on; until then its destination is poisoned.
// A store that is late reads shared memory when it is waited for.

#include "simt/bulk_copies.h"

#include <cstring>

#include "device/tensor_map.h"
#include "simt/block.h"
#include "simt/checker/checker.h"

namespace gpu::simt {
namespace {

constexpr int chunk_bytes = 16;

/// Calls `visit(shared address, offset in the row)` for each chunk of a row of a box that lies at `start`.
template <class Visit>
void for_each_chunk(const Box& box, uint32_t start, int row, Visit visit) {
  for (int offset = 0; offset < box.row_bytes(); offset += chunk_bytes) {
    visit(swizzled(start + uint32_t(row * box.row_bytes() + offset), Swizzle(box.map.swizzle)), offset);
  }
}

/// Bytes of a row's part that lie in the chunk at `offset`: from `first` in the chunk, `count` of them.
struct Overlap {
  int first;
  int count;
};
Overlap overlap(const Box::Row& row, int offset) {
  if (!row.source) return {0, 0};
  const int first = std::max(row.before, offset),
            end = std::min(row.before + row.count, offset + chunk_bytes);
  return {first - offset, std::max(0, end - first)};
}

void check_shared(Block& block, uint32_t address, int bytes, uint32_t alignment, const char* what,
                  Site site) {
  if (address % alignment != 0) {
    block.fail(site, "%s shared address %u, which is not a multiple of %u", what, address, alignment);
  }
  if (!block.shared.contains(address, bytes)) {
    block.fail(site, "%s %d bytes at shared address %u (offset %lld), outside of the block's %d bytes", what,
               bytes, address, static_cast<long long>(address) - SharedMemory::base, block.shared.size());
  }
}

void perform(Block& block, const BulkLoad& load) {
  if (load.source) {
    std::memcpy(block.shared.at(load.destination), load.source, size_t(load.bytes));
  } else {
    for (int index = 0; index < load.box.rows(); ++index) {
      const Box::Row row = load.box.row(index);
      for_each_chunk(load.box, load.destination, index, [&](uint32_t address, int offset) {
        unsigned char* chunk = block.shared.at(address);
        const Overlap part = overlap(row, offset);
        std::memset(chunk, 0, chunk_bytes);
        if (part.count > 0) {
          std::memcpy(chunk + part.first, row.source + (offset + part.first - row.before),
                      size_t(part.count));
        }
      });
    }
  }
  if (block.checker) block.checker->end_load(block, load.destination, load.bytes);
  block.mbarriers.written(block, load.barrier, load.bytes, load.agent, load.epoch, load.site);
}

void start(Block& block, BulkLoad& load) {
  block.mbarriers.at_for_copy(block, load.barrier, load.site);
  if (block.checker) block.checker->begin_load(block, load);
  const AsyncTiming timing = block.options.timing;
  if (timing == AsyncTiming::eager || (timing == AsyncTiming::random && block.random.below(4) == 0)) {
    return perform(block, load);
  }
  std::memset(block.shared.at(load.destination), 0xff, size_t(load.bytes));
  block.bulk_loads.add(load);
}

void perform(Block& block, BulkStore& store) {
  if (store.done) return;
  store.done = true;
  for (int index = 0; index < store.box.rows(); ++index) {
    const Box::Row row = store.box.row(index);
    for_each_chunk(store.box, store.source, index, [&](uint32_t address, int offset) {
      const Overlap part = overlap(row, offset);
      if (part.count == 0) return;
      std::memcpy(const_cast<unsigned char*>(row.source) + (offset + part.first - row.before),
                  block.shared.at(address) + part.first, size_t(part.count));
    });
  }
}

/// Tells the checker of everything that a store will read and write.
void check_store(Block& block, BulkStore& store) {
  const int agent = block.checker->agent(AgentKind::store, block.running().index);
  store.epoch = block.checker->next_epoch(agent);
  // `wait_stores` waits until shared memory has been read: nobody in this launch ever knows of the writes.
  const int writer = block.checker->agent(AgentKind::stored, block.running().index);
  const uint32_t written = block.checker->next_epoch(writer);
  for (int index = 0; index < store.box.rows(); ++index) {
    const Box::Row row = store.box.row(index);
    if (!row.source) continue;
    block.checker->access_global_as(block, writer, written, row.source, row.count, true, store.site);
    for_each_chunk(store.box, store.source, index, [&](uint32_t address, int offset) {
      const Overlap part = overlap(row, offset);
      if (part.count == 0) return;
      block.checker->read_async(block, block.checker->clock(block.running().index), agent, store.epoch,
                                address + uint32_t(part.first), part.count, store.site);
    });
  }
}

}  // namespace

void BulkLoads::perform_any(Block& block) {
  const size_t chosen = block.random.below(uint32_t(loads_.size()));
  const BulkLoad load = loads_[chosen];
  loads_.erase(loads_.begin() + std::ptrdiff_t(chosen));
  perform(block, load);
}

void load_box(uint32_t destination, const uint64_t (&map)[16], uint32_t barrier, const int (&at)[5], int rank,
              Site site) {
  Block& block = this_block();
  block.running().site = site;
  BulkLoad load = {};
  load.box = box_of(block, map, at, rank, site);
  load.destination = destination;
  load.bytes = load.box.bytes();
  load.barrier = barrier;
  load.site = site;
  check_shared(block, destination, load.bytes, 128, "box to", site);
  start(block, load);
}

void load_bytes(uint32_t destination, const void* source, int bytes, uint32_t barrier, Site site) {
  Block& block = this_block();
  block.running().site = site;
  if (bytes <= 0 || bytes % 16 != 0) {
    block.fail(site, "bulk copy of %d bytes: a multiple of 16 is needed", bytes);
  }
  if (reinterpret_cast<uintptr_t>(source) % 16 != 0) {
    block.fail(site, "bulk copy from %p, which is not a multiple of 16", source);
  }
  check_shared(block, destination, bytes, 16, "bulk copy to", site);
  BulkLoad load = {};
  load.source = static_cast<const unsigned char*>(source);
  load.destination = destination;
  load.bytes = bytes;
  load.barrier = barrier;
  load.site = site;
  start(block, load);
}

void store_box(const uint64_t (&map)[16], uint32_t source, const int (&at)[5], int rank, Site site) {
  Block& block = this_block();
  Thread& self = block.running();
  self.site = site;
  BulkStore store = {};
  store.box = box_of(block, map, at, rank, site);
  store.source = source;
  store.site = site;
  check_shared(block, source, store.box.bytes(), 128, "box from", site);
  if (block.checker) check_store(block, store);
  const AsyncTiming timing = block.options.timing;
  if (timing == AsyncTiming::eager || (timing == AsyncTiming::random && block.random.below(2) == 0)) {
    perform(block, store);
  }
  self.stores.stores.push_back(store);
}

void commit_stores(Site site) {
  Thread& self = this_block().running();
  self.site = site;
  self.stores.group_ends.push_back(self.stores.stores.size());
}

void wait_stores(int pending, Site site) {
  Block& block = this_block();
  Thread& self = block.running();
  StoreQueue& queue = self.stores;
  self.site = site;
  if (int(queue.group_ends.size()) <= pending) return;
  const size_t groups = queue.group_ends.size() - size_t(pending);
  const size_t count = queue.group_ends[groups - 1];
  for (size_t i = 0; i < count; ++i) {
    perform(block, queue.stores[i]);
    if (block.checker) {
      const int agent = block.checker->agent(AgentKind::store, self.index);
      block.checker->learn(self.index, agent, queue.stores[i].epoch);
    }
  }
  queue.stores.erase(queue.stores.begin(), queue.stores.begin() + std::ptrdiff_t(count));
  queue.group_ends.erase(queue.group_ends.begin(), queue.group_ends.begin() + std::ptrdiff_t(groups));
  for (size_t& end : queue.group_ends) end -= count;
}

}  // namespace gpu::simt
