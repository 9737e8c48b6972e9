// The probes of the primitives, for comparing hardware with the emulation.

#include <algorithm>

#include "conformance/probe.h"
#include "table/runtime.h"

namespace gpu::table {
namespace {

using conformance::Probe;

const std::vector<Probe>& probes() {
  static const std::vector<Probe> all = [] {
    std::vector<Probe> result;
    for (auto group : {conformance::warp_probes, conformance::number_probes, conformance::matrix_probes,
                       conformance::matrix_probes_sm89, conformance::copy_probes, conformance::bulk_probes,
                       conformance::warpgroup_probes, conformance::sparse_warpgroup_probes}) {
      for (const Probe& probe : group()) result.push_back(probe);
    }
    return result;
  }();
  return all;
}

const std::vector<gpi_kernel_probe>& descriptions() {
  static const std::vector<gpi_kernel_probe> all = [] {
    std::vector<gpi_kernel_probe> result;
    for (const Probe& probe : probes()) result.push_back(probe.description);
    return result;
  }();
  return all;
}

bool is_probe(int32_t index) { return index >= 0 && size_t(index) < probes().size(); }

void fill_probe(int32_t index, uint64_t seed, uint32_t* input) {
  if (!is_probe(index)) return;
  const Probe& probe = probes()[size_t(index)];
  conformance::Random random(seed);
  probe.fill(probe, random, input);
}

gpi_kernel_status launch_probe(gpi_kernel_stream* stream, int32_t index, const uint32_t* input,
                               uint32_t* output) {
  if (!is_probe(index)) return fail(GPI_KERNEL_INVALID, "there is no probe " + std::to_string(index));
  const Probe& probe = probes()[size_t(index)];
  if (device_of(context_of(stream)).capability < probe.description.first_capability) {
    return fail(GPI_KERNEL_INVALID, std::string(probe.description.name) + " needs a newer device");
  }
  conformance::ProbeArguments arguments = {input, output, {}};
  std::copy(std::begin(probe.variation), std::end(probe.variation), arguments.variation);
  return finish(stream, probe.launch(stream_of(stream), probe, arguments));
}

}  // namespace

void fill_conformance(gpi_kernel_table& table) {
  table.probes = descriptions().data();
  table.probe_count = int32_t(descriptions().size());
  table.fill_probe = fill_probe;
  table.launch_probe = launch_probe;
}

}  // namespace gpu::table
