#include "simt/checker/global_shadow.h"

#include <algorithm>

#include "simt/block.h"

namespace gpu::simt {

GlobalShadow::GlobalShadow() {
  for (Allocation& allocation : DeviceMemory::allocations()) regions_.push_back({std::move(allocation), {}});
}

void GlobalShadow::begin_block(const Agents& agents) {
  agents_ = &agents;
  log_.clear();
}

bool GlobalShadow::access(Block& block, const Clock& now, int slot, uint32_t epoch, const void* address,
                          int bytes, bool write, Place place) {
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
  const size_t start = size_t(byte - allocation.start), end = start + size_t(bytes);
  const auto own = int32_t(block.linear_index);
  refine(region, start, size_t(bytes), own);
  for (size_t offset = start; offset < end; offset += region.granule) {
    Cell& cell = region.cells[offset / region.granule];
    check_blocks(block, region, cell, offset, write, place);
    if (write) {
      check_threads(block, region, cell, offset, now, slot, true, place);
      cell.writer = own;
      log_.note_write(cell.accesses, slot, epoch, place);
    } else if (cell.reader == nobody || cell.reader == own) {
      check_threads(block, region, cell, offset, now, slot, false, place);
      cell.reader = own;
      log_.note_read(cell.accesses, now, slot, epoch, place);
    } else {
      cell.reader = several;
      cell.accesses.read_place = place;
    }
  }
  return true;
}

void GlobalShadow::refine(Region& region, size_t offset, size_t bytes, int32_t own) {
  size_t granule = region.granule;
  while ((offset | bytes) % granule != 0) granule /= 2;
  if (granule < region.granule) {
    std::vector<Cell> coarse;
    coarse.swap(region.cells);
    region.cells.reserve(coarse.size() * (region.granule / granule));
    for (const Cell& cell : coarse) {
      region.cells.push_back(cell);
      for (size_t i = granule; i < region.granule; i += granule) {
        region.cells.push_back(cell);
        // Those of an earlier block are never compared again.
        if (cell.reader == own) region.cells.back().accesses = log_.copy(cell.accesses);
      }
    }
    region.granule = granule;
  }
  if (region.cells.empty()) region.cells.resize((region.allocation.bytes + granule - 1) / granule);
}

void GlobalShadow::check_blocks(Block& block, const Region& region, const Cell& cell, size_t offset,
                                bool write, Place place) const {
  const auto own = int32_t(block.linear_index);
  if (cell.writer != nobody && cell.writer != own) {
    block.fail_against(place, cell.accesses.write_place,
                       "block conflict: %s at offset %zu of device memory '%s', which block %d wrote",
                       write ? "write" : "read", offset, region.allocation.name.c_str(), cell.writer);
  }
  if (write && cell.reader != nobody && cell.reader != own) {
    block.fail_against(place, cell.accesses.read_place,
                       "block conflict: write at offset %zu of device memory '%s', which another block read",
                       offset, region.allocation.name.c_str());
  }
}

void GlobalShadow::check_threads(Block& block, const Region& region, const Cell& cell, size_t offset,
                                 const Clock& now, int slot, bool write, Place place) const {
  const int writer = log_.writer_racing_with(cell.accesses, now, slot);
  if (writer >= 0) {
    block.fail_against(place, cell.accesses.write_place,
                       "race: %s at offset %zu of device memory '%s' is not ordered after the write by %s",
                       write ? "write" : "read", offset, region.allocation.name.c_str(),
                       agents_->name(writer).c_str());
  }
  const int reader = write ? log_.reader_racing_with(cell.accesses, now, slot) : -1;
  if (reader >= 0) {
    block.fail_against(place, cell.accesses.read_place,
                       "race: write at offset %zu of device memory '%s' is not ordered after the read by %s",
                       offset, region.allocation.name.c_str(), agents_->name(reader).c_str());
  }
}

}  // namespace gpu::simt
