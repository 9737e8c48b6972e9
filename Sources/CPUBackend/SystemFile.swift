internal import Glibc

/// Small files in which the system says how it is.
enum SystemFile {
  /// The first 16 KiB; nil where there is no such file.
  static func text(_ path: String) -> String? {
    guard let file = unsafe fopen(path, "re") else { return nil }
    defer { unsafe fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 16 << 10)
    let count = unsafe fread(&bytes, 1, bytes.count, file)
    return String(decoding: bytes[0..<count], as: UTF8.self)
  }

  /// The number behind a name at the start of a line, as in `MemAvailable:  1234 kB` or `file 4096`.
  static func number(_ name: String, in text: String) -> Int? {
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      if words.count >= 2, words[0] == name { return Int(words[1]) }
    }
    return nil
  }
}
