// Each kind of fault is provoked once, and its text must name the kernel, the block, the thread, the line and
// the reason.

#include "tests/kernels/faults.h"

#include <sys/resource.h>

#include <fstream>

#include "tests/fault_text.h"

namespace gpu::test {
namespace {

std::string fault_of(Mistake mistake, simt::Options options = {}) {
  DeviceArray<float> global("numbers", std::vector<float>(64, 1.0f));
  static const std::vector<float> elsewhere(16, 1.0f);
  return fault_of_launch(options, [&](Stream stream) {
    return make_mistake(stream, {mistake, global.data(), elsewhere.data()});
  });
}

/// The fault of a mistake that every flavour finds.
void expect_fault(Mistake mistake, const char* part) {
  expect_fault_text(fault_of(mistake), part, "mistake", "tests/kernels/faults.cu");
}

/// One that takes the checker.
void expect_report(Mistake mistake, const char* part) {
  if (checked) expect_fault(mistake, part);
}

TEST("a right kernel has no fault") { EXPECT(fault_of(Mistake::none) == ""); }

TEST("collectives: who takes part") {
  expect_fault(Mistake::mask_without_caller, "does not name the calling lane");
  expect_fault(Mistake::lane_has_left, "lane 31");
  expect_fault(Mistake::lane_has_left,
               "the thread left the kernel while lanes 0x7fffffff wait for it in sync_warp");
  expect_fault(
      Mistake::divergent_collectives,
      "divergent collectives: sync_warp with mask 0xffffffff, while lanes 0x0000ffff wait in ballot");
  expect_fault(Mistake::shuffle_from_absent_lane, "reads lane 20, which takes no part");
  expect_fault(Mistake::leaves_while_awaited,
               "sync_warp waits for lanes 0x00000001, which have left the kernel");
}

TEST("barriers: who comes, and from where") {
  expect_fault(Mistake::exits_before_barrier, "32 threads have left the kernel and will never come");
  expect_fault(Mistake::exits_while_barrier_waits,
               "left the kernel while 32 others wait for it at this barrier");
  expect_fault(Mistake::divergent_barrier, "divergent barrier: lanes 0x00000001");
  expect_fault(Mistake::barrier_counts_differ, "barrier 1 for 32 threads, while others wait at it for 64");
  expect_fault(Mistake::arrives_twice, "arrives twice at barrier 2");
  expect_fault(Mistake::odd_barrier_count, "named barrier for 33 threads");
}

TEST("a deadlock lists who waits where") {
  std::string fault = fault_of(Mistake::deadlock);
  EXPECT_TEXT(fault,
              "kernel mistake, block (0, 0, 0): deadlock: 32 threads wait in named barrier at "
              "tests/kernels/faults.cu:");
  EXPECT_TEXT(fault, "; 32 threads wait in named barrier at ");
}

TEST("addresses: alignment and bounds") {
  expect_fault(Mistake::ldmatrix_misaligned,
               "ldmatrix row at shared address 1048, which is not a multiple of 16");
  expect_fault(Mistake::ldmatrix_out_of_bounds, "(offset 256), outside of the block's 256 bytes");
  expect_fault(Mistake::copy_misaligned_target, "to shared address 1044, which is not a multiple of 16");
  expect_fault(Mistake::copy_out_of_bounds, "(offset 256), outside of the block's 256 bytes");
  expect_fault(Mistake::copy_misaligned_source, "which is not a multiple of 16");
  expect_fault(Mistake::copy_too_long, "asynchronous copy of 17 bytes");
  expect_fault(Mistake::copy_never_awaited, "left the kernel before this copy was waited for");
  expect_fault(Mistake::address_not_shared, "is not an address in shared memory");
  expect_fault(Mistake::adds_to_global, "which is not in shared memory");
  expect_fault(Mistake::adds_out_of_bounds, "atomic addition of 8 bytes at shared offset 252");
}

TEST("a write past device memory damages its guard band") {
#ifndef GPU_ADDRESS_SANITIZED
  EXPECT_TEXT(fault_of(Mistake::writes_past_global),
              checked ? "write of 4 bytes at offset 256 of device memory 'numbers', which has 256 bytes"
                      : "kernel mistake: wrote past the end of device memory 'numbers'");
#endif
}

TEST("checker: races, whatever the schedule") {
  expect_report(Mistake::race_write_write,
                "race: write of shared offset 0 is not ordered after the write by thread 0");
  expect_report(Mistake::race_write_read,
                "race: write of shared offset 160 is not ordered after the read by thread 0");
  expect_report(Mistake::race_read_write,
                "race: write of shared offset 160 is not ordered after the read by thread 0 at "
                "tests/kernels/faults.cu:");
  expect_report(Mistake::race_read_addition,
                "race: read of shared offset 4 is not ordered after the atomic addition by thread ");
  expect_report(Mistake::race_addition_write, "race: write of shared offset 4 is not ordered after the ");
  expect_report(Mistake::adds_to_uninitialised, "atomic addition to uninitialised shared memory at offset 0");
  if (!checked) return;
  for (simt::Schedule schedule : {simt::Schedule::round_robin, simt::Schedule::descending}) {
    simt::Options options;
    options.schedule = schedule;
    EXPECT_TEXT(fault_of(Mistake::race_read_write, options), "race: ");
    EXPECT_TEXT(fault_of(Mistake::race_write_read, options), "race: ");
  }
}

TEST("checker: uninitialised shared memory and copies in flight") {
  expect_report(Mistake::uninitialised, "read of uninitialised shared memory at offset 12");
  expect_report(Mistake::reads_copy_in_flight,
                "read of shared offset 0 while an asynchronous copy to it is in flight, issued at "
                "tests/kernels/faults.cu:");
  expect_report(Mistake::copies_over_copy, "asynchronous copy to shared offset 0 while another is in flight");
  expect_report(Mistake::copy_not_ordered_after_read,
                "race: write of shared offset 0 is not ordered after the read by thread 0");
}

TEST("checker: bounds of shared and global memory, and what is no device memory") {
  expect_report(Mistake::shared_out_of_bounds,
                "write of 4 bytes at shared offset 256, outside of the block's 256");
  expect_report(Mistake::global_out_of_bounds, "read of 4 bytes at offset 256 of device memory 'numbers'");
  expect_report(Mistake::misaligned, "read of 4 bytes at the misaligned address");
  expect_report(Mistake::wild_pointer, "which is no memory of the device");
}

TEST("checker: blocks that touch what another writes") {
  if (!checked) return;
  EXPECT_TEXT(fault_of(Mistake::blocks_write_same),
              "block (1, 0, 0), thread 0 (warp 0, lane 0), tests/kernels/faults.cu:");
  EXPECT_TEXT(fault_of(Mistake::blocks_write_same),
              "block conflict: write at offset 0 of device memory 'numbers', which block 0 wrote at tests/");
  EXPECT_TEXT(
      fault_of(Mistake::block_reads_other),
      "block conflict: write at offset 20 of device memory 'numbers', which another block read at tests/");
}

std::string fault_of(HandOver order, const simt::Options& options) {
  DeviceArray<float> numbers("numbers", std::vector<float>(64, -1.0f));
  std::string fault =
      fault_of_launch(options, [&](Stream stream) { return hand_over(stream, {order, numbers.data()}); });
  if (order != HandOver::barriers && order != HandOver::warp_barriers) return fault;
  for (int i = 0; i < 64; ++i) {
    EXPECT(numbers[size_t(i)] == float(order == HandOver::barriers ? 63 - i : i ^ 1));
  }
  return fault;
}

TEST("checker: races of a block's threads in device memory, whatever the schedule") {
  for (const simt::Options& options : all_ways()) {
    EXPECT(fault_of(HandOver::barriers, options) == "");
    EXPECT(fault_of(HandOver::warp_barriers, options) == "");
  }
  for (HandOver order :
       {HandOver::vote_before_reads, HandOver::vote_before_writes, HandOver::warp_barriers_across_warps,
        HandOver::same_value, HandOver::last_reader_writes}) {
    auto report = [&](const simt::Options& options) { return fault_of(order, options); };
    expect_report_text(report, "kernel hand_over, block (0, 0, 0), thread ");
    expect_report_text(report, " tests/kernels/faults.cu:");
    expect_report_text(report, " of device memory 'numbers' is not ordered after the ");
  }
  if (!checked) return;
  simt::Options options;
  EXPECT_TEXT(fault_of(HandOver::same_value, options), "thread 1 (warp 0, lane 1), tests/kernels/faults.cu:");
  EXPECT_TEXT(
      fault_of(HandOver::same_value, options),
      "race: write at offset 28 of device memory 'numbers' is not ordered after the write by thread 0 at "
      "tests/kernels/faults.cu:");
  EXPECT_TEXT(fault_of(HandOver::vote_before_reads, options), "race: read at offset ");
  EXPECT_TEXT(fault_of(HandOver::vote_before_reads, options), " is not ordered after the write by thread ");
  EXPECT_TEXT(
      fault_of(HandOver::vote_before_writes, options),
      "race: write at offset 0 of device memory 'numbers' is not ordered after the read by thread 63 at ");
}

TEST("checker: a vote is no barrier") {
  DeviceArray<float> output("output", 32);
  simt::Stream stream;
  EXPECT(exchange_lanes(&stream, {true, output.data()}) == 0);
  for (int lane = 0; lane < 32; ++lane) EXPECT(output[size_t(lane)] == float(31 - lane));
  if (!checked) return;
  EXPECT(exchange_lanes(&stream, {false, output.data()}) != 0);
  EXPECT_TEXT(stream.fault, "race: read of shared offset");
}

TEST("launches that the CUDA runtime would refuse") {
  auto refusal = [](LaunchShape shape) {
    simt::Stream stream;
    launch(&stream, "empty", shape, +[](int) {}, 0);
    return stream.fault;
  };
  EXPECT(refusal({}) == "");
  EXPECT_TEXT(refusal({{1, 1, 1}, 33, 0}), "kernel empty: 33 threads in a block");
  EXPECT_TEXT(refusal({{1, 1, 1}, 2048, 0}), "2048 threads");
  EXPECT_TEXT(refusal({{1, 65536, 1}, 32, 0}), "grid (1, 65536, 1)");
  EXPECT_TEXT(refusal({{0, 1, 1}, 32, 0}), "grid (0, 1, 1)");
  EXPECT_TEXT(refusal({{1, 1, 1}, 32, 300000}), "300000 bytes of shared memory");
}

size_t mappings() {
  std::ifstream maps("/proc/self/maps");
  std::string line;
  size_t count = 0;
  while (std::getline(maps, line)) ++count;
  return count;
}

TEST("a thousand faults leak no mapping and little memory") {
  auto many = [](int count) {
    for (int i = 0; i < count; ++i) fault_of(i % 2 ? Mistake::deadlock : Mistake::mask_without_caller);
  };
  auto peak = [] {
    rusage usage = {};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  many(20);
  size_t mappings_before = mappings();
  auto peak_before = peak();
  many(1000);
  EXPECT(mappings() <= mappings_before + 4);
#ifndef GPU_ADDRESS_SANITIZED                // which keeps freed memory in quarantine
  EXPECT(peak() - peak_before < 16 * 1024);  // KiB
#else
  (void)peak_before;
#endif
}

}  // namespace
}  // namespace gpu::test
