internal import Glibc

/// What the system says can be had without swapping, file caches that it can drop included.
package enum AvailableMemory {
  /// `MemAvailable` of /proc/meminfo, in bytes; nil where there is no such file.
  package static var bytes: Int? {
    guard let file = unsafe fopen("/proc/meminfo", "r") else { return nil }
    defer { unsafe fclose(file) }
    var text = [UInt8](repeating: 0, count: 4096)
    let count = unsafe fread(&text, 1, text.count, file)
    let key = Array("MemAvailable:".utf8)
    for line in text[0..<count].split(separator: UInt8(ascii: "\n")) where line.starts(with: key) {
      let digits = line.filter { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
      return Int(String(decoding: digits, as: UTF8.self)).map { $0 << 10 }
    }
    return nil
  }
}
