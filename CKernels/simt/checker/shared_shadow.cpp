#include "simt/checker/shared_shadow.h"

#include "simt/block.h"

namespace gpu::simt {

void SharedShadow::begin_block(int shared_bytes, const Agents& agents) {
  agents_ = &agents;
  cells_.assign((size_t(shared_bytes) + granule - 1) / granule, Cell());
  log_.clear();
}

void SharedShadow::access(Block& block, const Clock& now, int thread, uint32_t offset, int bytes, bool write,
                          Place place) {
  uint32_t last = (offset + uint32_t(bytes) - 1) / granule;
  for (uint32_t index = offset / granule; index <= last; ++index) {
    Cell& cell = cells_[index];
    check_no_copy(block, cell, index * granule, write ? "write" : "read", place);
    check_write_before(block, cell, now, thread, index * granule, write, place);
    check_additions_before(block, cell, now, thread, index * granule, write, place);
    if (write) {
      check_reads_before(block, cell, now, thread, index * granule, place);
      note_write(cell, thread, now[thread], true, place);
      cell.initialised = true;
    } else {
      if (!cell.initialised) {
        block.fail(place, "read of uninitialised shared memory at offset %u", index * granule);
      }
      log_.note_read(cell.accesses, now, thread, now[thread], place);
    }
  }
}

void SharedShadow::add_atomically(Block& block, const Clock& now, int thread, uint32_t offset, int bytes,
                                  Place place) {
  uint32_t last = (offset + uint32_t(bytes) - 1) / granule;
  for (uint32_t index = offset / granule; index <= last; ++index) {
    Cell& cell = cells_[index];
    if (!cell.initialised) {
      block.fail(place, "atomic addition to uninitialised shared memory at offset %u", index * granule);
    }
    if (cell.copy_in_flight) {
      block.fail_against(
          place, cell.accesses.write_place,
          "atomic addition at shared offset %u while an asynchronous copy to it is in flight, issued",
          index * granule);
    }
    check_write_before(block, cell, now, thread, index * granule, true, place);
    check_reads_before(block, cell, now, thread, index * granule, place);
    log_.note_addition(cell.accesses, thread, now[thread], place);
  }
}

void SharedShadow::begin_copy(Block& block, const Clock& now, int thread, uint32_t offset, int bytes,
                              Place place) {
  uint32_t last = (offset + uint32_t(bytes) - 1) / granule;
  for (uint32_t index = offset / granule; index <= last; ++index) {
    Cell& cell = cells_[index];
    if (cell.copy_in_flight) {
      block.fail_against(place, cell.accesses.write_place,
                         "asynchronous copy to shared offset %u while another is in flight, issued",
                         index * granule);
    }
    check_write_before(block, cell, now, thread, index * granule, true, place);
    check_additions_before(block, cell, now, thread, index * granule, true, place);
    check_reads_before(block, cell, now, thread, index * granule, place);
    note_write(cell, thread, now[thread], true, place);
    cell.copy_in_flight = true;
  }
}

void SharedShadow::end_copy(const Clock& now, int thread, uint32_t offset, int bytes, Place place) {
  uint32_t last = (offset + uint32_t(bytes) - 1) / granule;
  for (uint32_t index = offset / granule; index <= last; ++index) {
    Cell& cell = cells_[index];
    cell.copy_in_flight = false;
    cell.initialised = true;
    // The copy's bytes become visible to the thread that waited, now.
    note_write(cell, thread, now[thread], true, place);
  }
}

void SharedShadow::begin_load(Block& block, const Clock& now, int agent, uint32_t epoch, uint32_t offset,
                              int bytes, Place place) {
  uint32_t last = (offset + uint32_t(bytes) - 1) / granule;
  for (uint32_t index = offset / granule; index <= last; ++index) {
    Cell& cell = cells_[index];
    check_no_copy(block, cell, index * granule, "bulk copy", place);
    check_write_before(block, cell, now, agent, index * granule, true, place);
    check_additions_before(block, cell, now, agent, index * granule, true, place);
    check_published(block, cell, now, index * granule, true, place);
    check_reads_before(block, cell, now, agent, index * granule, place);
    note_write(cell, agent, epoch, false, place);
    cell.copy_in_flight = true;
  }
}

void SharedShadow::end_load(uint32_t offset, int bytes) {
  uint32_t last = (offset + uint32_t(bytes) - 1) / granule;
  for (uint32_t index = offset / granule; index <= last; ++index) {
    cells_[index].copy_in_flight = false;
    cells_[index].initialised = true;
  }
}

void SharedShadow::read_async(Block& block, const Clock& now, int agent, uint32_t epoch, uint32_t offset,
                              int bytes, Place place) {
  uint32_t last = (offset + uint32_t(bytes) - 1) / granule;
  for (uint32_t index = offset / granule; index <= last; ++index) {
    Cell& cell = cells_[index];
    check_no_copy(block, cell, index * granule, "asynchronous read", place);
    check_write_before(block, cell, now, agent, index * granule, false, place);
    check_additions_before(block, cell, now, agent, index * granule, false, place);
    check_published(block, cell, now, index * granule, false, place);
    if (!cell.initialised) {
      block.fail(place, "asynchronous read of uninitialised shared memory at offset %u", index * granule);
    }
    log_.note_read(cell.accesses, now, agent, epoch, place);
  }
}

void SharedShadow::check_no_copy(Block& block, const Cell& cell, uint32_t offset, const char* what,
                                 Place place) {
  if (!cell.copy_in_flight) return;
  block.fail_against(place, cell.accesses.write_place,
                     "%s of shared offset %u while an asynchronous copy to it is in flight, issued", what,
                     offset);
}

void SharedShadow::check_published(Block& block, const Cell& cell, const Clock& now, uint32_t offset,
                                   bool write, Place place) {
  int unpublished = -1;
  const Accesses& accesses = cell.accesses;
  if (accesses.adders >= 0) {
    const Clock& epochs = log_.adders(accesses);
    for (int other = 0; other < epochs.size(); ++other) {
      if (epochs[other] > now[agents_->published(other)]) unpublished = other;
    }
  } else if (accesses.writer >= 0 && cell.generic &&
             accesses.write_epoch > now[agents_->published(accesses.writer)]) {
    unpublished = accesses.writer;
  }
  if (unpublished < 0) return;
  block.fail_against(place, cell.accesses.write_place,
                     "proxy: asynchronous %s of shared offset %u, which %s wrote without a fence_async_proxy "
                     "that is known here,",
                     write ? "write" : "read", offset, agents_->name(unpublished).c_str());
}

void SharedShadow::check_write_before(Block& block, const Cell& cell, const Clock& now, int slot,
                                      uint32_t offset, bool write, Place place) {
  const int writer = log_.writer_racing_with(cell.accesses, now, slot);
  if (writer < 0) return;
  block.fail_against(place, cell.accesses.write_place,
                     "race: %s of shared offset %u is not ordered after the write by %s",
                     write ? "write" : "read", offset, agents_->name(writer).c_str());
}

void SharedShadow::check_additions_before(Block& block, const Cell& cell, const Clock& now, int slot,
                                          uint32_t offset, bool write, Place place) {
  const int adder = log_.adder_racing_with(cell.accesses, now, slot);
  if (adder < 0) return;
  block.fail_against(place, cell.accesses.write_place,
                     "race: %s of shared offset %u is not ordered after the atomic addition by %s",
                     write ? "write" : "read", offset, agents_->name(adder).c_str());
}

void SharedShadow::check_reads_before(Block& block, const Cell& cell, const Clock& now, int slot,
                                      uint32_t offset, Place place) {
  const int reader = log_.reader_racing_with(cell.accesses, now, slot);
  if (reader < 0) return;
  block.fail_against(place, cell.accesses.read_place,
                     "race: write of shared offset %u is not ordered after the read by %s", offset,
                     agents_->name(reader).c_str());
}

void SharedShadow::note_write(Cell& cell, int slot, uint32_t epoch, bool generic, Place place) {
  log_.note_write(cell.accesses, slot, epoch, place);
  cell.generic = generic;
}

}  // namespace gpu::simt
