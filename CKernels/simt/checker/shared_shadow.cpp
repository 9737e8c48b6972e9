#include "simt/checker/shared_shadow.h"

#include "simt/block.h"

namespace gpu::simt {

void SharedShadow::begin_block(int shared_bytes, int threads) {
  threads_ = threads;
  cells_.assign((size_t(shared_bytes) + granule - 1) / granule, Cell());
  free_readers_.clear();
  for (size_t i = 0; i < readers_.size(); ++i) free_readers_.push_back(int32_t(i));
}

void SharedShadow::access(Block& block, const Clock& now, int thread, uint32_t offset, int bytes, bool write,
                          Place place) {
  uint32_t last = (offset + uint32_t(bytes) - 1) / granule;
  for (uint32_t index = offset / granule; index <= last; ++index) {
    Cell& cell = cells_[index];
    if (cell.copy_in_flight) {
      block.fail_against(place, cell.write_place,
                         "%s of shared offset %u while an asynchronous copy to it is in flight, issued",
                         write ? "write" : "read", index * granule);
    }
    check_write_before(block, cell, now, thread, index * granule, write, place);
    check_additions_before(block, cell, now, thread, index * granule, write, place);
    if (write) {
      check_reads_before(block, cell, now, thread, index * granule, place);
      note_write(cell, now, thread, place);
      cell.initialised = true;
    } else {
      if (!cell.initialised) {
        block.fail(place, "read of uninitialised shared memory at offset %u", index * granule);
      }
      note_read(cell, now, thread, place);
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
          place, cell.write_place,
          "atomic addition at shared offset %u while an asynchronous copy to it is in flight, issued",
          index * granule);
    }
    check_write_before(block, cell, now, thread, index * granule, true, place);
    check_reads_before(block, cell, now, thread, index * granule, place);
    if (cell.adders < 0) cell.adders = take_epochs();
    readers_[size_t(cell.adders)][size_t(thread)] = now[thread];
    cell.write_place = place;
  }
}

void SharedShadow::begin_copy(Block& block, const Clock& now, int thread, uint32_t offset, int bytes,
                              Place place) {
  uint32_t last = (offset + uint32_t(bytes) - 1) / granule;
  for (uint32_t index = offset / granule; index <= last; ++index) {
    Cell& cell = cells_[index];
    if (cell.copy_in_flight) {
      block.fail_against(place, cell.write_place,
                         "asynchronous copy to shared offset %u while another is in flight, issued",
                         index * granule);
    }
    check_write_before(block, cell, now, thread, index * granule, true, place);
    check_additions_before(block, cell, now, thread, index * granule, true, place);
    check_reads_before(block, cell, now, thread, index * granule, place);
    note_write(cell, now, thread, place);
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
    note_write(cell, now, thread, place);
  }
}

void SharedShadow::check_write_before(Block& block, const Cell& cell, const Clock& now, int thread,
                                      uint32_t offset, bool write, Place place) {
  if (cell.writer < 0 || cell.writer == thread || cell.write_epoch <= now[cell.writer]) return;
  block.fail_against(place, cell.write_place,
                     "race: %s of shared offset %u is not ordered after the write by thread %d",
                     write ? "write" : "read", offset, cell.writer);
}

void SharedShadow::check_additions_before(Block& block, const Cell& cell, const Clock& now, int thread,
                                          uint32_t offset, bool write, Place place) {
  if (cell.adders < 0) return;
  const std::vector<uint32_t>& epochs = readers_[size_t(cell.adders)];
  for (int other = 0; other < threads_; ++other) {
    if (other == thread || epochs[size_t(other)] <= now[other]) continue;
    block.fail_against(place, cell.write_place,
                       "race: %s of shared offset %u is not ordered after the atomic addition by thread %d",
                       write ? "write" : "read", offset, other);
  }
}

int32_t SharedShadow::take_epochs() {
  if (free_readers_.empty()) {
    free_readers_.push_back(int32_t(readers_.size()));
    readers_.emplace_back();
  }
  int32_t index = free_readers_.back();
  free_readers_.pop_back();
  readers_[size_t(index)].assign(size_t(threads_), 0);
  return index;
}

void SharedShadow::check_reads_before(Block& block, const Cell& cell, const Clock& now, int thread,
                                      uint32_t offset, Place place) {
  int racing = -1;
  if (cell.reader >= 0) {
    if (cell.reader != thread && cell.read_epoch > now[cell.reader]) racing = cell.reader;
  } else if (cell.reader == several) {
    const std::vector<uint32_t>& epochs = readers_[size_t(cell.readers)];
    for (int other = 0; other < threads_ && racing < 0; ++other) {
      if (other != thread && epochs[size_t(other)] > now[other]) racing = other;
    }
  }
  if (racing < 0) return;
  block.fail_against(place, cell.read_place,
                     "race: write of shared offset %u is not ordered after the read by thread %d", offset,
                     racing);
}

void SharedShadow::note_read(Cell& cell, const Clock& now, int thread, Place place) {
  cell.read_place = place;
  if (cell.reader == several) {
    readers_[size_t(cell.readers)][size_t(thread)] = now[thread];
  } else if (cell.reader < 0 || cell.reader == thread || cell.read_epoch <= now[cell.reader]) {
    // A read that happened after the last one stands for both.
    cell.reader = int16_t(thread);
    cell.read_epoch = now[thread];
  } else {
    cell.readers = take_epochs();
    std::vector<uint32_t>& epochs = readers_[size_t(cell.readers)];
    epochs[size_t(cell.reader)] = cell.read_epoch;
    epochs[size_t(thread)] = now[thread];
    cell.reader = several;
  }
}

void SharedShadow::note_write(Cell& cell, const Clock& now, int thread, Place place) {
  cell.writer = int16_t(thread);
  cell.write_epoch = now[thread];
  cell.write_place = place;
  if (cell.reader == several) free_readers_.push_back(cell.readers);
  if (cell.adders >= 0) free_readers_.push_back(cell.adders);
  cell.adders = -1;
  cell.reader = -1;
  cell.readers = -1;
}

}  // namespace gpu::simt
