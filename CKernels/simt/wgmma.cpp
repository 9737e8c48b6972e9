// wgmma: products of a warpgroup, as early or as late as the PTX ISA allows.

#include <cstring>
#include <limits>

#include "device/codes8.h"
#include "device/types.h"
#include "simt/block.h"
#include "simt/checker/checker.h"
#include "simt/matrix_descriptor.h"

namespace gpu::simt {
namespace {

constexpr int most_k = 32;
constexpr int rows = 64;

bool has_codes(MatrixType type) { return type == MatrixType::int8 || type == MatrixType::float8; }

/// Elements in a chunk of 16 bytes.
int chunk_size(MatrixType type) { return has_codes(type) ? 16 : 8; }

int k_size(const Wgmma& request) { return request.sparse || has_codes(request.type) ? 32 : 16; }

float value_of(uint16_t bits, MatrixType type) {
  return type == MatrixType::float16 ? to_float(f16{bits}) : to_float(bf16{bits});
}

float value_of(const unsigned char* chunk, int i, MatrixType type) {
  if (type == MatrixType::int8) return float(int8_t(chunk[i]));
  if (type == MatrixType::float8) {
    return (chunk[i] & 127) == float8_nan ? std::numeric_limits<float>::quiet_NaN() : float8_value(chunk[i]);
  }
  return value_of(uint16_t(chunk[2 * i] | chunk[2 * i + 1] << 8), type);
}

/// Calls `visit(address, row or group of eight rows, chunk of k or k)` for each 16-byte chunk of a matrix.
/// Transposed ones are of 16 bits.
template <class Visit>
void for_each_chunk(const DecodedMatrix& matrix, int row_count, const Wgmma& request, Visit visit) {
  const int k_count = k_size(request);
  if (matrix.transposed) {
    for (int k = 0; k < k_count; ++k) {
      for (int group = 0; group < row_count / 8; ++group) visit(matrix.row_chunk(group, k), group, k);
    }
  } else {
    const int chunks = k_count / chunk_size(request.type);
    for (int row = 0; row < row_count; ++row) {
      for (int chunk = 0; chunk < chunks; ++chunk) visit(matrix.k_chunk(row, chunk), row, chunk);
    }
  }
}

/// values[row · row_step + k · k_step] of a matrix in shared memory.
void read_matrix(Block& block, const DecodedMatrix& matrix, int row_count, const Wgmma& request,
                 float* values, int row_step, int k_step) {
  const int count = chunk_size(request.type);
  for_each_chunk(matrix, row_count, request, [&](uint32_t address, int first, int second) {
    unsigned char chunk[16];
    std::memcpy(chunk, block.shared.at(address), sizeof chunk);
    for (int i = 0; i < count; ++i) {
      const int row = matrix.transposed ? count * first + i : first,
                k = matrix.transposed ? second : count * second + i;
      values[row * row_step + k * k_step] = value_of(chunk, i, request.type);
    }
  });
}

void execute(Block& block, WarpgroupProduct& product) {
  const Wgmma& request = product.request;
  const int n = request.n, k_count = k_size(request);
  float a[rows * most_k], b[most_k * 256];
  if (request.registers) {
    std::memcpy(a, product.a.data(), product.a.size() * sizeof(float));
  } else {
    read_matrix(block, DecodedMatrix::of(request.a, false), rows, request, a, k_count, 1);
  }
  read_matrix(block, DecodedMatrix::of(request.b, request.transposed_b), n, request, b, 1, n);
  for (int row = 0; row < rows; ++row) {
    uint32_t* target = product.target[row / 16]->values.data() + row % 16 * n;
    if (!request.accumulate) std::memset(target, 0, size_t(n) * sizeof(uint32_t));
    // Products of 32 integers and their sum are exact in float.
    float d[256] = {};
    const bool integers = request.type == MatrixType::int8;
    if (!integers) std::memcpy(d, target, size_t(n) * sizeof(float));
    for (int k = 0; k < k_count; ++k) {
      const float factor = a[row * k_count + k];
      const float* line = b + k * n;
      for (int column = 0; column < n; ++column) d[column] += factor * line[column];
    }
    if (!integers) std::memcpy(target, d, size_t(n) * sizeof(float));
    for (int column = 0; integers && column < n; ++column) target[column] += uint32_t(int32_t(d[column]));
  }
  block.statistics.wgmma += 1;
}

/// Runs products in order up to `end`.
void execute_until(Block& block, Warpgroup& group, size_t end) {
  for (; group.executed < end; ++group.executed) execute(block, group.product(group.executed));
}

/// Element `i` of tile `j` of a lane, in the accumulators [16][n] of its warp.
size_t place(int lane, int j, int i, int n) {
  return size_t(lane / 4 + 8 * (i / 2)) * size_t(n) + size_t(8 * j + 2 * (lane % 4) + i % 2);
}

/// Takes the accumulators out of the registers of a warp, or finds them where they are.
Accumulators& take_accumulators(Block& block, Warpgroup::Member& member, Rendezvous& met) {
  const Wgmma& request = met.argument<Wgmma>(0);
  for (Accumulators& known : member.accumulators) {
    for (int lane = 0; lane < warp_size; ++lane) {
      const auto* d = static_cast<const uint32_t*>(met.argument<Wgmma>(lane).d);
      const bool same = d == known.registers[lane] && request.n == known.n;
      const bool apart =
          d + request.n / 2 <= known.registers[lane] || known.registers[lane] + known.n / 2 <= d;
      if (!same && !apart) {
        block.fail_against(met.site, known.site,
                           "wgmma whose accumulators overlap others that are in flight, issued");
      }
      if (same && lane == warp_size - 1) return known;
    }
  }
  member.accumulators.push_back({});
  Accumulators& taken = member.accumulators.back();
  taken.n = request.n;
  taken.site = met.site;
  taken.values.resize(size_t(16 * request.n));
  for (int lane = 0; lane < warp_size; ++lane) {
    auto* d = static_cast<uint32_t*>(met.argument<Wgmma>(lane).d);
    taken.registers[lane] = d;
    for (int j = 0; j < request.n / 8; ++j) {
      for (int i = 0; i < 4; ++i) taken.values[place(lane, j, i, request.n)] = d[4 * j + i];
    }
    std::memset(d, 0xff, size_t(request.n / 2) * sizeof(uint32_t));
  }
  return taken;
}

void check_operands(Block& block, const Wgmma& request, Site site) {
  auto check = [&](const DecodedMatrix& matrix, int row_count, const char* name) {
    if (const char* objection = matrix.objection()) {
      block.fail(site, "wgmma: descriptor of %s, start %u: %s", name, matrix.start, objection);
    }
    for_each_chunk(matrix, row_count, request, [&](uint32_t address, int, int) {
      if (block.shared.contains(address, 16)) return;
      block.fail(site, "wgmma reads %s at shared address %u (offset %lld), outside of the block's %d bytes",
                 name, address, static_cast<long long>(address) - SharedMemory::base, block.shared.size());
    });
  };
  if (!request.registers) check(DecodedMatrix::of(request.a, false), rows, "a");
  check(DecodedMatrix::of(request.b, request.transposed_b), request.n, "b");
}

void report_reads(Block& block, int group, const Wgmma& request, size_t number, Site site) {
  const Clock now = block.checker->common_clock(group * Warpgroup::members, Warpgroup::members);
  const int agent = block.checker->agent(AgentKind::product, group);
  auto read = [&](uint32_t address, int, int) {
    block.checker->read_async(block, now, agent, uint32_t(number) + 1, address, 16, site);
  };
  if (!request.registers) for_each_chunk(DecodedMatrix::of(request.a, false), rows, request, read);
  for_each_chunk(DecodedMatrix::of(request.b, request.transposed_b), request.n, request, read);
}

bool same_product(const Wgmma& x, const Wgmma& y) {
  return x.type == y.type && x.transposed_b == y.transposed_b && x.accumulate == y.accumulate && x.n == y.n &&
         x.a == y.a && x.b == y.b && !x.registers == !y.registers && x.sparse == y.sparse &&
         x.selector == y.selector;
}

/// Element `i` of a warp's fragments of a: that of row `row` and column `column` of sixteen.
template <class Visit>
void for_each_element(Rendezvous& met, Visit visit) {
  for (int lane = 0; lane < warp_size; ++lane) {
    const Wgmma& request = met.argument<Wgmma>(lane);
    for (int i = 0; i < 8; ++i) {
      const int row = lane / 4 + 8 * (i / 2 % 2), column = 2 * (lane % 4) + i % 2 + 8 * (i / 4);
      visit(row, column, value_of(uint16_t(request.registers[i / 2] >> (16 * (i % 2))), request.type));
    }
  }
}

/// Puts the stored elements of a, [16][16], where the metadata says, in [16][32].
void spread(Block& block, Rendezvous& met, float* a) {
  std::memset(a, 0, 16 * 32 * sizeof(float));
  auto place_of = [&](int row, int column) {
    const int quad = column / 2, lane = 4 * (row % 8) + 2 * met.argument<Wgmma>(0).selector + quad / 4;
    const uint32_t nibble = met.argument<Wgmma>(lane).metadata >> (4 * (4 * (row / 8) + quad % 4)) & 15;
    if ((nibble & 3) >= nibble >> 2) {
      block.fail(met.site, "wgmma.sp: lane %d has metadata 0x%x for row %d, quad %d: its indices do not rise",
                 lane, nibble, row, quad);
    }
    return 4 * quad + int(column % 2 == 0 ? nibble & 3 : nibble >> 2);
  };
  for_each_element(met,
                   [&](int row, int column, float value) { a[row * 32 + place_of(row, column)] = value; });
}

void issue(Block& block, int warp, Rendezvous& met) {
  Warpgroup& group = block.warpgroup(warp / Warpgroup::members);
  const int index = warp % Warpgroup::members;
  Warpgroup::Member& member = group.member[index];
  const Wgmma& request = met.argument<Wgmma>(0);
  if (!member.fenced) {
    block.fail(met.site, "wgmma without a fence_wgmma since the start or the last wait_wgmma");
  }
  for (int lane = 1; lane < warp_size; ++lane) {
    if (!same_product(request, met.argument<Wgmma>(lane))) {
      block.fail(met.site, "wgmma: lane %d has other descriptors or flags than lane 0", lane);
    }
  }
  const size_t number = member.issued;
  if (number == group.first + group.products.size()) {
    check_operands(block, request, met.site);
    group.products.push_back({request, met.site, {}, {}});
  }
  WarpgroupProduct& product = group.product(number);
  if (!same_product(request, product.request)) {
    block.fail_against(met.site, product.site,
                       "wgmma: this warp's product is not the one that another warp of its warpgroup issued");
  }
  Accumulators& target = take_accumulators(block, member, met);
  target.end = number + 1;
  product.target[index] = &target;
  if (request.registers) {
    const int k_count = k_size(request);
    product.a.resize(size_t(rows * k_count));
    float* a = product.a.data() + index * 16 * k_count;
    if (request.sparse) {
      spread(block, met, a);
    } else {
      for_each_element(met, [&](int row, int k, float value) { a[row * k_count + k] = value; });
    }
  }
  member.issued += 1;

  for (const Warpgroup::Member& other : group.member) {
    if (other.issued <= number) return;
  }
  group.issued_by_all = number + 1;
  if (block.checker) report_reads(block, warp / Warpgroup::members, request, number, met.site);
  const AsyncTiming timing = block.options.timing;
  if (timing == AsyncTiming::eager || (timing == AsyncTiming::random && block.random.below(2) == 0)) {
    execute_until(block, group, number + 1);
  }
  for (int waiting : group.waiting) block.wake(waiting);
  group.waiting.clear();
}

void fence(Block& block, int warp, Rendezvous&) {
  block.warpgroup(warp / Warpgroup::members).member[warp % Warpgroup::members].fenced = true;
}

void commit(Block& block, int warp, Rendezvous&) {
  Warpgroup::Member& member = block.warpgroup(warp / Warpgroup::members).member[warp % Warpgroup::members];
  member.group_ends.push_back(member.issued);
}

struct WaitArgument {
  int pending;
  /// How many products must have run.
  size_t target;
};

void plan_wait(Block& block, int warp, Rendezvous& met) {
  Warpgroup::Member& member = block.warpgroup(warp / Warpgroup::members).member[warp % Warpgroup::members];
  const int pending = met.argument<WaitArgument>(0).pending;
  size_t target = member.waited;
  if (int(member.group_ends.size()) > pending) {
    const size_t groups = member.group_ends.size() - size_t(pending);
    target = member.group_ends[groups - 1];
    member.group_ends.erase(member.group_ends.begin(), member.group_ends.begin() + std::ptrdiff_t(groups));
  }
  if (target > member.waited) member.fenced = false;
  member.waited = target;
  for (int lane = 0; lane < warp_size; ++lane) met.argument<WaitArgument>(lane).target = target;
}

/// Gives the running lane its registers back, those that no product after `target` uses.
void return_accumulators(Block& block, Warpgroup::Member& member, size_t target) {
  Thread& self = block.running();
  for (auto it = member.accumulators.begin(); it != member.accumulators.end();) {
    Accumulators& taken = *it;
    if (taken.end > target || (taken.returned & self.bit())) {
      ++it;
      continue;
    }
    uint32_t* d = taken.registers[self.lane()];
    for (int i = 0; i < taken.n / 2; ++i) {
      if (d[i] != 0xffffffffu) {
        block.fail(taken.site, "an accumulator of this wgmma was written before the product was waited for");
      }
      d[i] = taken.values[place(self.lane(), i / 4, i % 4, taken.n)];
    }
    taken.returned |= self.bit();
    it = taken.returned == full_mask ? member.accumulators.erase(it) : std::next(it);
  }
}

/// Forgets the products that every warp has waited for.
void drop_finished(Warpgroup& group) {
  size_t waited = group.member[0].waited;
  for (const Warpgroup::Member& member : group.member) waited = std::min(waited, member.waited);
  for (; group.first < std::min(waited, group.executed); ++group.first) group.products.pop_front();
}

constexpr Operation issue_operation = {"wgmma", true, false, issue};
constexpr Operation fence_operation = {"fence_wgmma", true, false, fence};
constexpr Operation commit_operation = {"commit_wgmma", true, false, commit};
constexpr Operation wait_operation = {"wait_wgmma", true, false, plan_wait};

/// The warpgroup of the running thread.
Warpgroup& own_group(Block& block, Site site) {
  const int group = block.running().warp() / Warpgroup::members;
  if ((group + 1) * Warpgroup::members * warp_size > block.launch.threads) {
    block.fail(site, "wgmma in a warp that is not one of four: the block has %d threads",
               block.launch.threads);
  }
  return block.warpgroup(group);
}

}  // namespace

void wgmma(const Wgmma& request, Site site) {
  Block& block = this_block();
  own_group(block, site);
  Wgmma argument = request;
  block.meet(issue_operation, full_mask, &argument, site);
}

void fence_wgmma(Site site) {
  Block& block = this_block();
  own_group(block, site);
  block.meet(fence_operation, full_mask, nullptr, site);
}

void commit_wgmma(Site site) {
  Block& block = this_block();
  own_group(block, site);
  block.meet(commit_operation, full_mask, nullptr, site);
}

void wait_wgmma(int pending, Site site) {
  Block& block = this_block();
  Warpgroup& group = own_group(block, site);
  WaitArgument argument = {pending, 0};
  block.meet(wait_operation, full_mask, &argument, site);
  Thread& self = block.running();
  while (group.issued_by_all < argument.target) {
    group.waiting.push_back(self.index);
    block.park("wait_wgmma, for the other warps of the warpgroup", site);
  }
  execute_until(block, group, argument.target);
  return_accumulators(block, group.member[self.warp() % Warpgroup::members], argument.target);
  if (block.checker) {
    const int agent = block.checker->agent(AgentKind::product, self.warp() / Warpgroup::members);
    block.checker->learn(self.index, agent, uint32_t(argument.target));
  }
  drop_finished(group);
}

}  // namespace gpu::simt
