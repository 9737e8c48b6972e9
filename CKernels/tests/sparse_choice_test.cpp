// Which kernel a 2:4 weight is given on which device, by the table of figures.

#include <cstring>

#include "table/figures.h"
#include "table/variants.h"
#include "tests/check.h"

namespace gpu::test {
namespace {

using table::figures_of;

/// The name of the first variant that takes the product and is worth it there; as `gpi_kernel_table.choose`.
std::string choice(const char* device_name, int capability, int rows, int outputs, int inputs,
                   gpi_kernel_code code = GPI_KERNEL_ELEMENTS) {
  const table::Device device = {capability, false, &figures_of(device_name, capability), nullptr};
  gpi_kernel_quantized_linear a = {};
  a.element = a.output_element = GPI_KERNEL_BFLOAT16;
  a.rows = rows;
  a.format.code = code;
  a.format.sparsity = GPI_KERNEL_TWO_OF_FOUR;
  a.format.outputs = outputs;
  a.format.inputs = inputs;
  a.format.group = code == GPI_KERNEL_ELEMENTS ? inputs : 128;
  a.format.scale_element = GPI_KERNEL_BFLOAT16;
  // Aligned; nothing reads it.
  a.packed = reinterpret_cast<void*>(4096);
  a.input = a.packed;
  a.input_stride = inputs;
  a.output_stride = outputs;
  a.workspace_bytes = int64_t(1) << 40;
  for (const table::Variant& variant : table::variants()) {
    const gpi_kernel_variant& d = variant.description;
    if (d.op != GPI_KERNEL_QUANTIZED_LINEAR || capability < d.first_capability ||
        capability > d.last_capability || !variant.accepts(&a)) {
      continue;
    }
    if (!variant.is_preferred || variant.is_preferred(device, &a)) return d.name;
  }
  return "none";
}

TEST("sparse choice: Hopper multiplies few rows by mma.sp, many by wgmma.sp") {
  EXPECT(choice("NVIDIA H200", 90, 1, 4096, 4096) == "sparse24");
  EXPECT(choice("NVIDIA H200", 90, 64, 4096, 4096) == "sparse24");
  EXPECT(choice("NVIDIA H200", 90, 256, 4096, 4096) == "sparse24.sm90");
  EXPECT(choice("NVIDIA H200", 90, 4096, 4096, 4096) == "sparse24.sm90");
  EXPECT(choice("NVIDIA H200", 90, 1, 4096, 4096, GPI_KERNEL_INT4) == "sparse24.codes");
  EXPECT(choice("NVIDIA H200", 90, 4096, 4096, 4096, GPI_KERNEL_INT4) == "sparse24.sm90");
}

TEST("sparse choice: where wgmma.sp does not take a shape, Hopper writes it out for many rows") {
  EXPECT(choice("NVIDIA H100 80GB HBM3", 90, 64, 4096, 4096 + 64) == "sparse24");
  EXPECT(choice("NVIDIA H100 80GB HBM3", 90, 8192, 4096, 4096 + 64) == "sparse24.expanded");
}

TEST("sparse choice: mma.sp wins on Ampere and Ada whatever the rows") {
  for (int rows : {1, 128, 8192}) {
    EXPECT(choice("NVIDIA A100-SXM4-80GB", 80, rows, 4096, 4096) == "sparse24");
    EXPECT(choice("NVIDIA GeForce RTX 4090", 89, rows, 4096, 4096) == "sparse24");
    EXPECT(choice("NVIDIA L40S", 89, rows, 4096, 4096, GPI_KERNEL_INT8) == "sparse24.codes");
  }
}

TEST("sparse choice: figures are found by name, else by capability") {
  EXPECT(std::strcmp(figures_of("NVIDIA H100 PCIe", 90).name, "H100 PCIe") == 0);
  EXPECT(std::strcmp(figures_of("NVIDIA H100 80GB HBM3", 90).name, "H100") == 0);
  EXPECT(std::strcmp(figures_of("NVIDIA A10", 86).name, "A10") == 0);
  EXPECT(std::strcmp(figures_of("NVIDIA A100-PCIE-40GB", 80).name, "A100") == 0);
  EXPECT(figures_of("NVIDIA RTX A6000", 86).capability == 86);
  EXPECT(figures_of("a device of its own", 87).capability == 86);
  EXPECT(figures_of("a device of its own", 90).capability == 90);
  EXPECT(figures_of("a device of its own", 70).bandwidth > 0);
}

}  // namespace
}  // namespace gpu::test
