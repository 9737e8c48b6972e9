// Who accessed a piece of memory, as far as a later access may race with it: what shared and global memory
// have in common.
#pragma once

#include <cstdint>
#include <vector>

#include "simt/checker/clock.h"
#include "simt/place.h"

namespace gpu::simt {

/// The accesses to one granule since its last write, which is the first of them. Slots are those of clocks.
struct Accesses {
  uint32_t write_epoch = 0;
  uint32_t read_epoch = 0;
  int16_t writer = -1;
  /// The last reader, or `several`.
  int16_t reader = -1;
  /// Epochs of the readers when there are several, else -1.
  int32_t readers = -1;
  /// Epochs of those who added atomically since the last plain write, or -1.
  int32_t adders = -1;
  Place write_place;
  Place read_place;

  static constexpr int16_t several = -2;
};

/// Keeps and compares accesses of the block that runs. What was done before is what the clock of the one who
/// accesses knows; the answer to `…_racing_with` is a slot that it does not know, or -1.
class AccessLog {
 public:
  /// Forgets the epochs of all `Accesses` there are.
  void clear();

  int writer_racing_with(const Accesses& accesses, const Clock& now, int slot) const {
    const int writer = accesses.writer;
    return writer < 0 || writer == slot || accesses.write_epoch <= now[writer] ? -1 : writer;
  }
  int reader_racing_with(const Accesses& accesses, const Clock& now, int slot) const {
    const int reader = accesses.reader;
    if (reader == Accesses::several) return first_racing(accesses.readers, now, slot);
    return reader < 0 || reader == slot || accesses.read_epoch <= now[reader] ? -1 : reader;
  }
  int adder_racing_with(const Accesses& accesses, const Clock& now, int slot) const {
    return accesses.adders < 0 ? -1 : first_racing(accesses.adders, now, slot);
  }

  void note_write(Accesses& accesses, int slot, uint32_t epoch, Place place);
  void note_read(Accesses& accesses, const Clock& now, int slot, uint32_t epoch, Place place) {
    accesses.read_place = place;
    if (accesses.reader == Accesses::several) {
      epochs_[size_t(accesses.readers)].learn(slot, epoch);
    } else if (accesses.reader < 0 || accesses.reader == slot ||
               accesses.read_epoch <= now[accesses.reader]) {
      // A read that happened after the last one stands for both.
      accesses.reader = int16_t(slot);
      accesses.read_epoch = epoch;
    } else {
      note_another_reader(accesses, slot, epoch);
    }
  }
  /// The same accesses, to a granule that goes its own way from now on.
  Accesses copy(const Accesses& accesses);
  void note_addition(Accesses& accesses, int slot, uint32_t epoch, Place place);

  const Clock& adders(const Accesses& accesses) const { return epochs_[size_t(accesses.adders)]; }

 private:
  int first_racing(int32_t epochs, const Clock& now, int slot) const;
  void note_another_reader(Accesses& accesses, int slot, uint32_t epoch);
  int32_t take();

  /// The last epoch of every slot, for granules that several have read, or added to, since their last write.
  std::vector<Clock> epochs_;
  std::vector<int32_t> free_;
};

}  // namespace gpu::simt
