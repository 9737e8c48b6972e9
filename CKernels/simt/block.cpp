#include "simt/block.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "simt/checker/checker.h"

namespace gpu::simt {
namespace {

thread_local Block* active = nullptr;

/// Threads, with their stacks, that no launch uses at the moment.
thread_local std::vector<std::unique_ptr<Thread>> idle_threads;

}  // namespace

Block* active_block() { return active; }

Block& this_block() {
  if (!active) {
    std::fputs("a device primitive was called outside of a kernel\n", stderr);
    std::abort();
  }
  return *active;
}

Block::Block(const Launch& launch, const Options& options, Checker* checker)
    : launch(launch),
      options(options),
      shared(launch.shared_bytes),
      checker(checker),
      random(options.seed),
      warps_(size_t(launch.threads / warp_size)),
      warpgroups_((warps_.size() + Warpgroup::members - 1) / Warpgroup::members),
      scheduler_(options.schedule, options.seed) {
  for (int index = 0; index < launch.threads; ++index) {
    if (idle_threads.empty()) idle_threads.push_back(std::make_unique<Thread>());
    threads_.push_back(std::move(idle_threads.back()));
    idle_threads.pop_back();
    threads_.back()->index = index;
  }
}

Block::~Block() {
  for (auto& thread : threads_) idle_threads.push_back(std::move(thread));
}

bool Block::run(int64_t index) {
  linear_index = index;
  position[0] = int(index % launch.grid[0]);
  position[1] = int(index / launch.grid[0] % launch.grid[1]);
  position[2] = int(index / launch.grid[0] / launch.grid[1]);
  // Each block has random numbers of its own: which worker runs it makes no difference.
  random = Random(options.seed * 0x9e3779b97f4a7c15u + uint64_t(index));
  scheduler_ = Scheduler(options.schedule, random.next());
  shared.poison();
  for (Barrier& barrier : barriers_) barrier.reset();
  for (Warp& warp : warps_) warp = Warp();
  for (Warpgroup& group : warpgroups_) group = Warpgroup();
  mbarriers.clear();
  bulk_loads.clear();
  registers.reset(launch.threads);
  if (checker) checker->begin_block(*this);
  for (auto& thread : threads_) {
    thread->finished = false;
    thread->waits_for = nullptr;
    thread->site = {};
    thread->awaited_mbarrier = 0;
    thread->copies.clear();
    thread->stores.clear();
    thread->fiber.prepare(&Block::enter, thread.get());
    scheduler_.add(thread->warp(), thread->bit());
  }
  alive_ = launch.threads;
  fault_.clear();
  ++statistics.blocks;

  active = this;
  running_ = threads_[size_t(scheduler_.pick())].get();
  Fiber::change(main_, running_->fiber);
  active = nullptr;

  if (fault_.empty() && alive_ > 0) fault_ = describe_deadlock();
  return fault_.empty();
}

void Block::enter(void* argument) {
  Thread& thread = *static_cast<Thread*>(argument);
  thread.fiber.entered();
  Block& block = *active;
  block.launch.entry(block.launch.arguments);
  block.finish();
}

/// Leaves the running thread for the scheduler's choice, or for `run` when there is none.
void Block::resume_next() {
  int next = next_thread();
  Thread& left = *running_;
  ++statistics.switches;
  // A copy that happened meanwhile may have ended the very wait that this thread had begun.
  if (next == left.index) return;
  if (next < 0) {
    Fiber::change(left.fiber, main_);
  } else {
    running_ = threads_[size_t(next)].get();
    Fiber::change(left.fiber, running_->fiber);
  }
}

/// The scheduler's choice. Copies that are late happen when nobody can go on, or, at random, before.
int Block::next_thread() {
  constexpr uint32_t rarity = 16;
  if (options.timing == AsyncTiming::random && !bulk_loads.empty() && random.below(rarity) == 0) {
    bulk_loads.perform_any(*this);
  }
  int next = scheduler_.pick();
  while (next < 0 && alive_ > 0 && !bulk_loads.empty()) {
    bulk_loads.perform_any(*this);
    next = scheduler_.pick();
  }
  return next;
}

void Block::park(const char* what, Site site) {
  running_->waits_for = what;
  running_->site = site;
  scheduler_.remove(running_->warp(), running_->bit());
  resume_next();
}

void Block::finish() {
  Thread& self = *running_;
  check_nothing_in_flight();
  Warp& own = warps_[size_t(self.warp())];
  for (const Rendezvous& pending : own.pending) {
    if (pending.mask & self.bit()) {
      fail(pending.site, "the thread left the kernel while lanes 0x%08x wait for it in %s", pending.arrived,
           pending.operation->name);
    }
  }
  if (barriers_[0].arrived > 0) {
    fail(barriers_[0].sites[thread(barriers_[0].waiting[0]).warp()],
         "the thread left the kernel while %d others wait for it at this barrier", barriers_[0].arrived);
  }
  own.exited |= self.bit();
  self.finished = true;
  --alive_;
  if (alive_ == 0 && !bulk_loads.empty()) {
    fail(bulk_loads.front().site, "the block left the kernel before this copy was waited for");
  }
  scheduler_.remove(self.warp(), self.bit());
  resume_next();
  __builtin_unreachable();
}

/// What the running thread started must be over when it leaves.
void Block::check_nothing_in_flight() {
  Thread& self = *running_;
  if (!self.copies.copies.empty()) {
    fail(self.copies.copies.front().site, "the thread left the kernel before this copy was waited for");
  }
  if (!self.stores.stores.empty()) {
    fail(self.stores.stores.front().site, "the thread left the kernel before this store was waited for");
  }
  const Warpgroup& group = warpgroups_[size_t(self.warp() / Warpgroup::members)];
  for (const Accumulators& taken : group.member[self.warp() % Warpgroup::members].accumulators) {
    if (!(taken.returned & self.bit())) {
      fail(taken.site, "the thread left the kernel before this wgmma was waited for");
    }
  }
}

void Block::check_registers(const void* address, int bytes, bool write, Place place) {
  const Warpgroup& group = warpgroups_[size_t(running_->warp() / Warpgroup::members)];
  auto* first = static_cast<const char*>(address);
  for (const Accumulators& taken : group.member[running_->warp() % Warpgroup::members].accumulators) {
    auto* start = reinterpret_cast<const char*>(taken.registers[running_->lane()]);
    if (taken.returned & running_->bit()) continue;
    if (first + bytes <= start || first >= start + taken.n / 2 * int(sizeof(float))) continue;
    fail_against(place, taken.site, "%s of an accumulator of a wgmma in flight, issued",
                 write ? "write" : "read");
  }
}

void Block::meet(const Operation& operation, uint32_t mask, void* argument, Site site) {
  Thread& self = *running_;
  Warp& own = warps_[size_t(self.warp())];
  self.site = site;
  if (!(mask & self.bit())) {
    fail(site, "%s with mask 0x%08x, which does not name the calling lane", operation.name, mask);
  }
  if (uint32_t gone = mask & own.exited) {
    fail(site, "%s waits for lanes 0x%08x, which have left the kernel", operation.name, gone);
  }
  Rendezvous* met = nullptr;
  for (Rendezvous& pending : own.pending) {
    if (pending.operation == &operation && pending.mask == mask &&
        (!operation.aligned || pending.site.line == site.line)) {
      met = &pending;
    } else if ((pending.mask & self.bit()) && (mask & pending.arrived)) {
      // Each waits for the other. One of them alone would be legal: a part of a warp may be behind.
      fail_against(
          site, pending.site,
          "divergent collectives: %s with mask 0x%08x, while lanes 0x%08x wait in %s with mask 0x%08x",
          operation.name, mask, pending.arrived, pending.operation->name, pending.mask);
    }
  }
  if (!met) {
    own.pending.push_back({&operation, site, mask, 0, {}});
    met = &own.pending.back();
  }
  met->arguments[self.lane()] = argument;
  met->arrived |= self.bit();
  if (met->arrived != mask) return park(operation.name, site);

  if (operation.compute) operation.compute(*this, self.warp(), *met);
  if (operation.orders_memory && checker) checker->order_lanes(self.warp(), mask);
  scheduler_.add(self.warp(), mask);
  if (met != &own.pending.back()) *met = own.pending.back();
  own.pending.pop_back();
}

void Block::fail(Place place, const char* format, ...) {
  va_list values;
  va_start(values, format);
  record(place, nullptr, format, values);
  va_end(values);
  Fiber::change(running_->fiber, main_);
  __builtin_unreachable();
}

void Block::fail_against(Place place, Place other, const char* format, ...) {
  va_list values;
  va_start(values, format);
  record(place, &other, format, values);
  va_end(values);
  Fiber::change(running_->fiber, main_);
  __builtin_unreachable();
}

void Block::record(Place place, const Place* other, const char* format, va_list values) {
  char message[1024];
  std::vsnprintf(message, sizeof message, format, values);
  char who[512];
  std::snprintf(who, sizeof who, "kernel %s, block (%d, %d, %d), thread %d (warp %d, lane %d), ", launch.name,
                position[0], position[1], position[2], running_->index, running_->warp(), running_->lane());
  fault_ = who + place.text() + ": " + message;
  if (other) fault_ += " at " + other->text();
  fault_ += circumstances();
}

std::string Block::circumstances() const {
  constexpr const char* schedules[] = {"round robin", "ascending", "descending", "random"};
  constexpr const char* timings[] = {"eager", "lazy", "random"};
  return std::string(" [schedule ") + schedules[int(options.schedule)] + ", copies " +
         timings[int(options.timing)] + ", seed " + std::to_string(options.seed) + "]";
}

std::string Block::describe_deadlock() const {
  std::map<std::string, int> waiting;
  for (const auto& thread : threads_) {
    if (thread->finished) continue;
    std::string what = thread->waits_for;
    if (thread->awaited_mbarrier) {
      what = mbarriers.describe(thread->awaited_mbarrier, thread->awaited_parity);
    }
    waiting[what + " at " + Place(thread->site).text()] += 1;
  }
  char who[512];
  std::snprintf(who, sizeof who, "kernel %s, block (%d, %d, %d): deadlock: ", launch.name, position[0],
                position[1], position[2]);
  std::string text = who;
  const char* separator = "";
  for (const auto& [what, count] : waiting) {
    text += separator + std::to_string(count) + " threads wait in " + what;
    separator = "; ";
  }
  return text + circumstances();
}

int thread_index() { return this_block().running().index; }
int thread_count() { return this_block().launch.threads; }
int block_index(int axis) { return this_block().position[axis]; }
int grid_size(int axis) { return this_block().launch.grid[axis]; }

}  // namespace gpu::simt
