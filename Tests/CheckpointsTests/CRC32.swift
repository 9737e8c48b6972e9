/// The CRC of zlib and PNG, bit by bit.
enum CRC32 {
  static func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
    var crc = UInt32.max
    for byte in bytes { crc = table[Int((crc ^ UInt32(byte)) & 0xFF)] ^ (crc >> 8) }
    return ~crc
  }

  static func checksum(littleEndian values: [Float]) -> UInt32 {
    var crc = UInt32.max
    for value in values {
      for shift in stride(from: UInt32(0), to: 32, by: 8) {
        crc = table[Int((crc ^ (value.bitPattern >> shift)) & 0xFF)] ^ (crc >> 8)
      }
    }
    return ~crc
  }

  private static let table: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { crc, _ in crc & 1 == 1 ? 0xEDB8_8320 ^ (crc >> 1) : crc >> 1 }
  }
}
