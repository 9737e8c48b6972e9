internal import CCPUBackend

/// The builds of the hot loops. They give the same bits; only speed differs.
package enum InstructionSet: String, Sendable, CaseIterable {
  /// What the compiler was told to build for: NEON on arm64, library calls for fused multiply-add on x86-64.
  case portable
  /// With FMA and F16C: Haswell (2013), Zen and later.
  case avx2
  /// With BW, DQ and VL: Skylake server, Zen 4 and later.
  case avx512
  /// And with bfloat16 dot products: Cooper Lake, Sapphire Rapids, Zen 4 and later.
  case avx512bf16

  /// Whether this processor and operating system can run it.
  package var isAvailable: Bool { gpi_isa_available(code) != 0 }

  /// Those this machine can run, slowest first.
  package static var available: [InstructionSet] { allCases.filter(\.isAvailable) }

  /// The fastest that this machine can run.
  package static var best: InstructionSet { available.last ?? .portable }

  /// Whether products of bfloat16 are single instructions; elsewhere they are emulated, bit for bit.
  package var multipliesBFloat16: Bool { self == .avx512bf16 }

  var code: gpi_isa {
    switch self {
    case .portable: GPI_ISA_PORTABLE
    case .avx2: GPI_ISA_AVX2
    case .avx512: GPI_ISA_AVX512
    case .avx512bf16: GPI_ISA_AVX512_BF16
    }
  }
}
