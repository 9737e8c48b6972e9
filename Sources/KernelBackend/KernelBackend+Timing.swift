package import Compute

extension KernelBackend {
  /// Replays recorded work and times each replay on the device, so that neither launches nor the host count.
  ///
  /// - Parameter warmUp: replays before the first one that is timed.
  /// - Returns: microseconds of each replay, in ascending order. Under emulation, time of the host.
  package func microseconds(
    of work: any RecordedWork, replays: Int, warmUp: Int = 3
  ) throws(KernelError) -> [Double] {
    let start = try KernelEvent(stream.device)
    let end = try KernelEvent(stream.device)
    for _ in 0..<warmUp { try replay(work) }
    var times: [Double] = []
    for _ in 0..<replays {
      try start.record(on: stream)
      try replay(work)
      try end.record(on: stream)
      times.append(try end.microseconds(since: start, on: stream))
    }
    return times.sorted()
  }
}
