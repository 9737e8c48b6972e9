internal import Glibc

/// Files under `Tests/Fixtures`, found from this file's own place so that tests run from any directory.
package enum Fixtures {
  package static func path(_ relative: String) -> String { root + "/Tests/Fixtures/" + relative }

  /// Larger vocabularies that may not be redistributed lie in a folder beside the checkout, on some machines.
  package static var shared: String? {
    let path = root + "/../shared/fixtures"
    return unsafe access(path, R_OK) == 0 ? path : nil
  }

  package static func bytes(_ relative: String) throws -> [UInt8] { try read(path(relative)) }

  package static func read(_ path: String) throws -> [UInt8] {
    guard let file = unsafe fopen(path, "rb") else { throw FixtureMissing(path: path) }
    defer { unsafe fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe fread(&chunk, 1, chunk.count, file)
      if count == 0 { return bytes }
      bytes.append(contentsOf: chunk[0..<count])
    }
  }

  package static var root: String {
    var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    parts.removeLast(3)
    return parts.joined(separator: "/")
  }
}

package struct FixtureMissing: Error, CustomStringConvertible {
  package let path: String
  package var description: String { "fixture not found: \(path)" }
}

/// SplitMix64 (Steele, Lea, Flood 2014): seeded cases that are the same on every machine.
package struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
  }
}
