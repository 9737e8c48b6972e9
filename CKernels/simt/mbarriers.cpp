#include "simt/mbarriers.h"

#include <cstdio>
#include <cstring>
#include <utility>

#include "simt/block.h"
#include "simt/checker/checker.h"

namespace gpu::simt {
namespace {

constexpr int barrier_bytes = 8;
/// Of arrivals, and of bytes in a phase (PTX ISA, "Contents of the mbarrier object").
constexpr int64_t largest_count = (1 << 20) - 1;

uint32_t offset_of(uint32_t address) { return address - SharedMemory::base; }

}  // namespace

void Mbarriers::add(Block& block, uint32_t address, int arrivals, Site site) {
  if (address % barrier_bytes != 0 || !block.shared.contains(address, barrier_bytes)) {
    block.fail(site, "mbarrier at shared address %u: a multiple of 8 within the block's %d bytes is needed",
               address, block.shared.size());
  }
  if (arrivals < 1 || arrivals > largest_count) {
    block.fail(site, "mbarrier for %d arrivals: 1 to %lld are possible", arrivals,
               static_cast<long long>(largest_count));
  }
  if (barriers_.count(address)) {
    block.fail(site, "the mbarrier at shared offset %u is initialised twice", offset_of(address));
  }
  Mbarrier& barrier = barriers_[address];
  barrier.arrivals = barrier.pending = arrivals;
  barrier.initialiser = block.running().index;
  if (block.checker) {
    block.checker->access_shared(block, address, barrier_bytes, true, site);
    barrier.initial_epoch = block.checker->epoch(barrier.initialiser);
  }
  std::memcpy(block.shared.at(address), &mark, sizeof mark);
}

Mbarrier& Mbarriers::at(Block& block, uint32_t address, Site site) {
  auto found = barriers_.find(address);
  if (found == barriers_.end()) {
    block.fail(site, "there is no initialised mbarrier at shared address %u (offset %lld)", address,
               static_cast<long long>(address) - SharedMemory::base);
  }
  if (std::memcmp(block.shared.at(address), &mark, sizeof mark) != 0) {
    block.fail(site, "the mbarrier at shared offset %u has been overwritten", offset_of(address));
  }
  if (block.checker) block.checker->access_shared(block, address, barrier_bytes, false, site);
  return found->second;
}

Mbarrier& Mbarriers::at_for_copy(Block& block, uint32_t address, Site site) {
  Mbarrier& barrier = at(block, address, site);
  if (block.checker && !barrier.published &&
      !block.checker->knows_published(block.running().index, barrier.initialiser, barrier.initial_epoch)) {
    block.fail(site,
               "proxy: an asynchronous copy is to complete the mbarrier at shared offset %u, which thread %d "
               "initialised without publishing it",
               offset_of(address), barrier.initialiser);
  }
  return barrier;
}

void Mbarriers::publish(int thread) {
  for (auto& [address, barrier] : barriers_) barrier.published |= barrier.initialiser == thread;
}

void Mbarriers::arrive(Block& block, uint32_t address, int bytes, Site site) {
  Mbarrier& barrier = at(block, address, site);
  if (bytes < 0 || bytes > largest_count) {
    block.fail(site, "%d bytes announced at an mbarrier: 0 to %lld are possible", bytes,
               static_cast<long long>(largest_count));
  }
  if (barrier.pending == 0) {
    block.fail(site, "the mbarrier at shared offset %u has all of its %d arrivals, and gets another one",
               offset_of(address), barrier.arrivals);
  }
  barrier.bytes += bytes;
  barrier.pending -= 1;
  if (block.checker) block.checker->release(block.running().index, barrier.gathering);
  end_phase_when_due(block, address, barrier, site);
}

void Mbarriers::written(Block& block, uint32_t address, int bytes, int agent, uint32_t epoch, Site site) {
  Mbarrier& barrier = barriers_[address];
  barrier.bytes -= bytes;
  if (block.checker) barrier.gathering.learn(agent, epoch);
  end_phase_when_due(block, address, barrier, site);
}

void Mbarriers::end_phase_when_due(Block& block, uint32_t address, Mbarrier& barrier, Site site) {
  if (barrier.pending > 0) return;
  if (barrier.bytes < 0) {
    block.fail(site, "copies wrote %lld bytes more than were announced at the mbarrier at shared offset %u",
               static_cast<long long>(-barrier.bytes), offset_of(address));
  }
  if (barrier.bytes > 0) return;
  barrier.phase += 1;
  barrier.pending = barrier.arrivals;
  std::swap(barrier.completed, barrier.gathering);
  barrier.gathering.clear();
  for (int index : barrier.waiting) {
    if (block.checker) block.checker->acquire(index, barrier.completed);
    block.wake(index);
  }
  barrier.waiting.clear();
}

void Mbarriers::wait(Block& block, uint32_t address, int parity, Site site) {
  Mbarrier& barrier = at(block, address, site);
  Thread& self = block.running();
  if (parity != 0 && parity != 1) block.fail(site, "wait for parity %d of an mbarrier", parity);
  if (barrier.phase % 2 != parity) {
    if (block.checker) block.checker->acquire(self.index, barrier.completed);
    return;
  }
  barrier.waiting.push_back(self.index);
  self.awaited_mbarrier = address;
  self.awaited_parity = parity;
  block.park("mbarrier", site);
  self.awaited_mbarrier = 0;
}

std::string Mbarriers::describe(uint32_t address, int parity) const {
  const Mbarrier& barrier = barriers_.at(address);
  char text[256];
  std::snprintf(text, sizeof text,
                "mbarrier at offset %u for parity %d (phase %lld, %d of %d arrivals and %lld bytes missing)",
                offset_of(address), parity, static_cast<long long>(barrier.phase), barrier.pending,
                barrier.arrivals, static_cast<long long>(barrier.bytes));
  return text;
}

void init_mbarrier(uint32_t barrier, int arrivals, Site site) {
  Block& block = this_block();
  block.running().site = site;
  block.mbarriers.add(block, barrier, arrivals, site);
}

void publish_mbarriers(Site site) {
  Block& block = this_block();
  block.running().site = site;
  block.mbarriers.publish(block.running().index);
}

void arrive_mbarrier(uint32_t barrier, int bytes, Site site) {
  Block& block = this_block();
  block.running().site = site;
  block.mbarriers.arrive(block, barrier, bytes, site);
}

void wait_mbarrier(uint32_t barrier, int parity, Site site) {
  Block& block = this_block();
  block.running().site = site;
  block.mbarriers.wait(block, barrier, parity, site);
}

void fence_async_proxy(Site site) {
  Block& block = this_block();
  block.running().site = site;
  if (block.checker) block.checker->publish(block.running().index);
}

}  // namespace gpu::simt
