import Checkpoints

/// Builds files by hand, so that tests do not depend on the writer.
enum SafetensorsSamples {
  /// Length, header as given, data.
  static func file(header: String, data: [UInt8] = []) -> [UInt8] {
    file(headerLength: UInt64(header.utf8.count), header: header, data: data)
  }

  static func file(headerLength: UInt64, header: String, data: [UInt8] = []) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: headerLength >> (8 * $0)) } + Array(header.utf8) + data
  }

  static func parse(_ bytes: [UInt8]) throws(SafetensorsError) -> SafetensorsHeader {
    try unsafe bytes.span.withUnsafeBytes { (raw) throws(SafetensorsError) in
      try unsafe SafetensorsHeader.parse(bytes: raw, fileSize: raw.count)
    }
  }

  /// `a` is float32 [2], `b` is uint8 [3], and `c` is empty.
  static let small = file(
    header: #"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"#
      + #""c":{"dtype":"I64","shape":[0,5],"data_offsets":[8,8]},"#
      + #""b":{"dtype":"U8","shape":[3,1],"data_offsets":[8,11]}}  "#,
    data: [0, 0, 128, 63, 0, 0, 0, 192, 7, 8, 9])
}
