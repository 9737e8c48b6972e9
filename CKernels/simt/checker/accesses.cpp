#include "simt/checker/accesses.h"

namespace gpu::simt {

void AccessLog::clear() {
  free_.clear();
  for (size_t i = epochs_.size(); i > 0; --i) free_.push_back(int32_t(i - 1));
}

int AccessLog::first_racing(int32_t epochs, const Clock& now, int slot) const {
  const Clock& known = epochs_[size_t(epochs)];
  for (int other = 0; other < known.size(); ++other) {
    if (other != slot && known[other] > now[other]) return other;
  }
  return -1;
}

void AccessLog::note_write(Accesses& accesses, int slot, uint32_t epoch, Place place) {
  accesses.writer = int16_t(slot);
  accesses.write_epoch = epoch;
  accesses.write_place = place;
  if (accesses.readers >= 0) free_.push_back(accesses.readers);
  if (accesses.adders >= 0) free_.push_back(accesses.adders);
  accesses.adders = -1;
  accesses.reader = -1;
  accesses.readers = -1;
}

void AccessLog::note_another_reader(Accesses& accesses, int slot, uint32_t epoch) {
  accesses.readers = take();
  Clock& epochs = epochs_[size_t(accesses.readers)];
  epochs.learn(accesses.reader, accesses.read_epoch);
  epochs.learn(slot, epoch);
  accesses.reader = Accesses::several;
}

void AccessLog::note_addition(Accesses& accesses, int slot, uint32_t epoch, Place place) {
  if (accesses.adders < 0) accesses.adders = take();
  epochs_[size_t(accesses.adders)].learn(slot, epoch);
  accesses.write_place = place;
}

Accesses AccessLog::copy(const Accesses& accesses) {
  Accesses result = accesses;
  for (int32_t* epochs : {&result.readers, &result.adders}) {
    if (*epochs < 0) continue;
    const int32_t own = take();
    epochs_[size_t(own)] = epochs_[size_t(*epochs)];
    *epochs = own;
  }
  return result;
}

int32_t AccessLog::take() {
  if (free_.empty()) {
    free_.push_back(int32_t(epochs_.size()));
    epochs_.emplace_back();
  }
  const int32_t index = free_.back();
  free_.pop_back();
  epochs_[size_t(index)].clear();
  return index;
}

}  // namespace gpu::simt
