internal import CPUBackend
internal import Checkpoints
internal import Generation
internal import Glibc

/// Where the mapped weights of a model on the CPU lie: in the file's own small pages, or copied to huge ones.
enum WeightPages {
  static let option = OptionSpecification.value(
    "--huge-pages", "WHEN", default: "auto",
    "auto: on the CPU mapped weights are copied to huge pages, for speed, if memory is plentiful; off: they stay."
  )

  private enum Choice: String, CaseIterable { case auto, off }

  /// Smaller files are hardly read faster.
  private static let smallest = 64 << 20

  /// The bytes that would be moved: none on a device, where it was not wanted, or where the system has no huge pages.
  static func candidates(
    _ arguments: ParsedArguments, _ device: Device, _ checkpoint: Checkpoint
  ) throws -> Int {
    let choice = try arguments.choice("--huge-pages", as: Choice.self) ?? .auto
    guard choice == .auto, device == .cpu, HugePages.areAvailable else { return 0 }
    return checkpoint.files.reduce(0) { $0 + ($1.byteCount < smallest ? 0 : $1.byteCount) }
  }

  /// Moves what may be moved, if a quarter of it and a GiB stay free besides.
  ///
  /// - Returns: the bytes moved.
  static func move(_ checkpoint: Checkpoint, candidates: Int) -> Int {
    let spare = candidates / 4 + 1 << 30
    guard candidates > 0, let available = AvailableMemory.bytes, available > candidates + spare else {
      return 0
    }
    return checkpoint.files.reduce(0) { moved, file in
      file.byteCount < smallest
        ? moved : unsafe moved + file.withBytes { unsafe HugePages.move($0, leaving: spare) }
    }
  }

  /// The same beside the work, on a thread that gives way to it.
  static func moveInBackground(_ checkpoint: Checkpoint, candidates: Int) {
    guard candidates > 0 else { return }
    let thread = Thread(stackBytes: 256 << 10) {
      // On Linux this is the thread's own.
      setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10)
      _ = move(checkpoint, candidates: candidates)
    }
    thread?.detach()
  }
}
