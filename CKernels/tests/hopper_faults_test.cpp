// Each kind of fault of the primitives of sm_90 is provoked once.

#include "tests/fault_text.h"
#include "tests/kernels/hopper.h"

namespace gpu::test {
namespace {

std::string fault_of(HopperMistake mistake, simt::Options options = {}) {
  DeviceArray<bf16> input("input", random_values<bf16>(64 * 64, 1)), output("output", 64 * 64);
  TensorMapDescription d = {input.data(), 2, 2, {64, 64}, {0, 128}, {64, 64}, Swizzle::bytes_128};
  HopperMistakeArguments arguments = {};
  EXPECT(encode_tensor_map(arguments.input, d) == 0);
  d.address = output.data();
  EXPECT(encode_tensor_map(arguments.output, d) == 0);
  arguments.mistake = mistake;
  arguments.stored = output.data();
  return fault_of_launch(options, [&](Stream stream) { return make_hopper_mistake(stream, arguments); });
}

/// The fault of a mistake that every flavour finds.
void expect_fault(HopperMistake mistake, const char* part) {
  expect_fault_text(fault_of(mistake), part, "hopper_mistake", "tests/kernels/sm90/hopper_faults.cu");
}

/// One that takes the checker, which finds it under every schedule.
void expect_report(HopperMistake mistake, const char* part) {
  if (!checked) return;
  expect_fault(mistake, part);
  expect_report_text([&](const simt::Options& options) { return fault_of(mistake, options); }, part);
}

TEST("hopper: a right kernel has no fault") {
  for (const simt::Options& options : all_ways()) EXPECT(fault_of(HopperMistake::none, options) == "");
}

TEST("hopper: mbarriers") {
  expect_fault(HopperMistake::barrier_misaligned, "a multiple of 8 within the block's");
  expect_fault(HopperMistake::barrier_never_initialised,
               "there is no initialised mbarrier at shared address");
  expect_fault(HopperMistake::barrier_initialised_twice, "is initialised twice");
  // The checker is quicker: nothing orders that write with what the barrier's users do.
  expect_fault(HopperMistake::barrier_overwritten, checked ? "race: " : "has been overwritten");
  expect_fault(HopperMistake::barrier_without_arrivals, "mbarrier for 0 arrivals: 1 to 1048575 are possible");
  expect_fault(HopperMistake::announces_too_much, "1048576 bytes announced at an mbarrier: 0 to 1048575");
  expect_fault(HopperMistake::too_many_arrivals, "has all of its 1 arrivals, and gets another one");
  expect_fault(HopperMistake::wrong_parity, "deadlock: 128 threads wait in mbarrier at offset ");
  expect_fault(HopperMistake::wrong_parity, "for parity 1 (phase 1, 1 of 1 arrivals and 0 bytes missing) at");
  expect_fault(HopperMistake::expects_too_much, "(phase 0, 0 of 1 arrivals and 16 bytes missing)");
  expect_fault(HopperMistake::expects_too_little, "copies wrote 16 bytes more than were announced");
}

TEST("hopper: boxes") {
  expect_fault(HopperMistake::box_misaligned, "which is not a multiple of 128");
  expect_fault(HopperMistake::box_out_of_bounds, "box to 8192 bytes at shared address");
  expect_fault(HopperMistake::wrong_rank, "3 coordinates for a tensor map of rank 2");
  expect_fault(HopperMistake::no_map, "holds no tensor map");
#ifndef GPU_ADDRESS_SANITIZED  // UndefinedBehaviorSanitizer refuses the reference itself
  expect_fault(HopperMistake::map_misaligned, "is not aligned to ");
#endif
  expect_fault(HopperMistake::bytes_not_of_sixteen, "bulk copy of 24 bytes: a multiple of 16 is needed");
  expect_fault(HopperMistake::bytes_from_between, "bulk copy from 0x");
  expect_fault(HopperMistake::load_never_awaited,
               "the block left the kernel before this copy was waited for");
  expect_fault(HopperMistake::store_never_awaited, "left the kernel before this store was waited for");
}

TEST("hopper: products") {
  expect_fault(HopperMistake::no_wgmma_fence, "wgmma without a fence_wgmma");
  expect_fault(HopperMistake::wgmma_never_awaited, "left the kernel before this wgmma was waited for");
  expect_fault(HopperMistake::accumulator_written,
               checked ? "write of an accumulator of a wgmma in flight, issued at tests/"
                       : "an accumulator of this wgmma was written before the product was waited for");
  expect_fault(HopperMistake::operand_misaligned,
               "an atom of eight rows must start at a multiple of its size");
  expect_fault(HopperMistake::operand_out_of_bounds, "wgmma reads b at shared address");
  expect_fault(HopperMistake::warps_disagree, "is not the one that another warp of its warpgroup issued at");
  expect_fault(HopperMistake::lanes_disagree, "wgmma: lane 7 has other descriptors or flags than lane 0");
  expect_fault(HopperMistake::part_of_a_warpgroup,
               "wgmma in a warp that is not one of four: the block has 96 threads");
}

TEST("hopper: registers") {
  expect_fault(HopperMistake::gives_more_registers, "give_registers: 256 registers a thread, of 168 before");
  // Of what the third gave, one gets its share; then that one is gone.
  expect_fault(HopperMistake::takes_too_many_registers, "deadlock: ");
  expect_fault(HopperMistake::takes_too_many_registers, "threads wait in take_registers at tests/");
}

TEST("hopper, checker: the asynchronous proxy and what is in flight") {
  // Under some schedules there is no barrier yet.
  expect_report(HopperMistake::no_barrier_after_init, "");
  EXPECT_TEXT(checked ? fault_of(HopperMistake::no_barrier_after_init) : "race: ", "race: ");
  expect_report(HopperMistake::init_not_published, "which thread 0 initialised without publishing it");
  expect_report(HopperMistake::reads_box_in_flight, "");
  expect_report(HopperMistake::box_not_waited_for, "");
  expect_report(HopperMistake::operand_not_written, "asynchronous read of uninitialised shared memory at");
  expect_report(HopperMistake::operand_not_published, "proxy: asynchronous read of shared offset");
  expect_report(HopperMistake::operand_published_by_another, "proxy: asynchronous read of shared offset");
  expect_report(HopperMistake::accumulator_read,
                "read of an accumulator of a wgmma in flight, issued at tests/");
  expect_report(HopperMistake::operand_overwritten, "after the read by the wgmma of warpgroup 0 at tests/");
  expect_report(HopperMistake::store_not_published, "proxy: asynchronous read of shared offset");
  expect_report(
      HopperMistake::store_read_back,
      "race: read at offset 10 of device memory 'output' is not ordered after the write by the bulk "
      "stores of thread 0 at tests/");
  expect_report(HopperMistake::store_source_overwritten,
                "after the read by the bulk stores of thread 0 at tests/");
}

}  // namespace
}  // namespace gpu::test
