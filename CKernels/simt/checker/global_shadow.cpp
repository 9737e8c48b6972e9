#include "simt/checker/global_shadow.h"

#include <algorithm>

#include "simt/block.h"

namespace gpu::simt {

GlobalShadow::GlobalShadow() {
  for (Allocation& allocation : DeviceMemory::allocations()) regions_.push_back({std::move(allocation), {}});
}

bool GlobalShadow::access(Block& block, const void* address, int bytes, bool write, Place place) {
  auto* byte = static_cast<const unsigned char*>(address);
  auto near = [&](const Region& region) {
    return byte + neighbourhood >= region.allocation.start &&
           byte < region.allocation.start + region.allocation.bytes + neighbourhood;
  };
  if (regions_.empty()) return false;
  if (!near(regions_[last_])) {
    auto after = std::upper_bound(
        regions_.begin(), regions_.end(), byte + neighbourhood,
        [](const unsigned char* value, const Region& region) { return value < region.allocation.start; });
    if (after == regions_.begin() || !near(*(after - 1))) return false;
    last_ = size_t(after - 1 - regions_.begin());
  }
  Region& region = regions_[last_];
  const Allocation& allocation = region.allocation;
  if (byte < allocation.start || byte + bytes > allocation.start + allocation.bytes) {
    block.fail(place, "%s of %d bytes at offset %lld of device memory '%s', which has %zu bytes",
               write ? "write" : "read", bytes, static_cast<long long>(byte - allocation.start),
               allocation.name.c_str(), allocation.bytes);
  }
  check_blocks(block, region, size_t(byte - allocation.start), bytes, write, place);
  return true;
}

void GlobalShadow::check_blocks(Block& block, Region& region, size_t offset, int bytes, bool write,
                                Place place) {
  if (region.cells.empty()) region.cells.resize((region.allocation.bytes + granule - 1) / granule);
  int64_t own = block.linear_index;
  size_t last = (offset + size_t(bytes) - 1) / granule;
  for (size_t index = offset / granule; index <= last; ++index) {
    Cell& cell = region.cells[index];
    if (cell.writer >= 0 && cell.writer != own) {
      block.fail_against(place, cell.write_place,
                         "block conflict: %s at offset %zu of device memory '%s', which block %lld wrote",
                         write ? "write" : "read", index * granule, region.allocation.name.c_str(),
                         static_cast<long long>(cell.writer));
    }
    if (write) {
      if (cell.reader != -1 && cell.reader != own) {
        block.fail_against(
            place, cell.read_place,
            "block conflict: write at offset %zu of device memory '%s', which another block read",
            index * granule, region.allocation.name.c_str());
      }
      cell.writer = own;
      cell.write_place = place;
    } else {
      cell.reader = cell.reader == -1 || cell.reader == own ? own : -2;
      cell.read_place = place;
    }
  }
}

}  // namespace gpu::simt
