internal import CKernels

/// What a GPU does at most in a second, by which kernels are chosen. Not measured with these kernels: `source` says how it
/// is known.
package struct DeviceFigures: Sendable, Equatable {
  /// A part of the device's name.
  package let name: String
  /// 10 · major + minor.
  package let capability: Int
  /// Bytes.
  package let bandwidth: Double
  /// Multiplications and additions of 16-bit products: dense, and 2:4 by `mma.sp` and `wgmma.sp` (nil where there is none).
  package let dense: Double
  package let sparse: Double
  package let sparseOfWarpgroups: Double?
  package let source: String

  init(_ figures: gpi_kernel_figures) {
    name = unsafe String(cString: figures.name)
    source = unsafe String(cString: figures.source)
    capability = unsafe Int(figures.capability)
    bandwidth = unsafe figures.bandwidth
    dense = unsafe figures.dense
    sparse = unsafe figures.sparse
    sparseOfWarpgroups = unsafe figures.sparse_wgmma > 0 ? figures.sparse_wgmma : nil
  }
}

/// Seconds that a product takes at least: the slower of moving bytes and multiplying.
package struct SparseFloors: Sendable, Equatable {
  /// With the weight as it is without zeros left out.
  package let dense: Double
  /// With the 2:4 weight as it is stored.
  package let stored: Double
  /// With the 2:4 weight written out as a dense matrix first.
  package let expanded: Double

  package init(dense: Double, stored: Double, expanded: Double) {
    self.dense = dense
    self.stored = stored
    self.expanded = expanded
  }

  /// How many times as fast as dense the chosen kernel may be.
  package var gain: Double { dense / min(stored, expanded) }
  package var expands: Bool { expanded < stored }
}

extension KernelLibrary {
  package var figures: [DeviceFigures] {
    unsafe (0..<Int(table.pointee.figure_count)).map { index in
      unsafe DeviceFigures(table.pointee.figures[index])
    }
  }

  /// - Parameters:
  ///   - figures: an index of `figures`.
  ///   - denseBits: of an element of the weight that no zeros are left out of.
  package func sparseFloors(
    _ figures: Int, rows: Int, outputs: Int, inputs: Int, denseBits: Double = 16, sparseBits: Double
  ) -> SparseFloors {
    var floors = gpi_kernel_sparse_floors()
    unsafe table.pointee.sparse_floors(
      Int32(figures), Int32(clamping: rows), Int32(clamping: outputs), Int32(clamping: inputs), denseBits,
      sparseBits, &floors)
    return SparseFloors(dense: floors.dense, stored: floors.stored, expanded: floors.expanded)
  }
}
