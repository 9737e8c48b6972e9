internal import CCPUBackend
internal import Glibc

/// How many threads can really run at once here.
package enum ProcessorCount {
  /// The cores this process may be scheduled on, no more than its container's quota allows; at least 1.
  package static var available: Int {
    max(1, min(Int(gpi_processors()), quota(cgroup: "/sys/fs/cgroup/cpu.max") ?? .max))
  }

  /// cgroup v2's `cpu.max`, "quota period" in microseconds or "max period": whole cores, rounded up.
  static func quota(cgroup path: String) -> Int? {
    guard let file = unsafe fopen(path, "r") else { return nil }
    defer { unsafe fclose(file) }
    var text = [UInt8](repeating: 0, count: 64)
    let count = unsafe fread(&text, 1, text.count, file)
    let words = text[0..<count].split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
    guard words.count == 2, let quota = Int(String(decoding: words[0], as: UTF8.self)),
      let period = Int(String(decoding: words[1], as: UTF8.self)), quota > 0, period > 0
    else { return nil }
    return max(1, quota / period + (quota % period > 0 ? 1 : 0))
  }
}
