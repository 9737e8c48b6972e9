internal import JSON
package import Numerics

/// The directory at the start of a safetensors file.
///
///     byte 0        8                     8+n                                    file size
///     | n: u64 LE   | n bytes of JSON     | data of all tensors, without holes   |
///
/// The JSON is `{"__metadata__": {text: text}, NAME: {"dtype": …, "shape": […], "data_offsets": [begin, end]}}` with
/// offsets from byte 8+n; it may end in spaces. (huggingface/safetensors, "Format".)
package struct SafetensorsHeader: Sendable, Equatable {
  package struct Tensor: Sendable, Equatable {
    package let name: String
    package let dataType: DataType
    package let shape: [Int]
    /// From the start of the file.
    package let byteRange: Range<Int>
  }

  package struct MetadataItem: Sendable, Equatable {
    package let key: String
    package let value: String

    package init(key: String, value: String) {
      self.key = key
      self.value = value
    }
  }

  /// In the order of their data.
  package let tensors: [Tensor]
  /// In the order of the file.
  package let metadata: [MetadataItem]
  /// Where the data begins: 8 plus the length of the JSON.
  package let dataOffset: Int

  /// The limit of the reference implementation; about 800,000 tensors.
  package static let maximumBytes = 100_000_000

  /// Reads and checks the header.
  ///
  /// - Parameters:
  ///   - bytes: the file from its start; the data need not be there. It is not kept.
  ///   - fileSize: the size of the whole file, against which ranges are checked.
  package static func parse(
    bytes: UnsafeRawBufferPointer, fileSize: Int
  ) throws(SafetensorsError) -> SafetensorsHeader {
    guard fileSize >= 8, bytes.count >= 8 else { throw .tooShort(fileSize: min(fileSize, bytes.count)) }
    let length = unsafe UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
    guard length <= UInt64(maximumBytes), let length = Int(exactly: length) else {
      throw .headerTooLong(bytes: length, limit: maximumBytes)
    }
    guard length <= fileSize - 8, length <= bytes.count - 8 else {
      throw .headerPastEnd(bytes: length, fileSize: min(fileSize, bytes.count))
    }
    let text = unsafe [UInt8](bytes[8..<8 + length])
    guard let first = text.first else { throw .headerPastEnd(bytes: 0, fileSize: fileSize) }
    guard first == UInt8(ascii: "{") else { throw .headerStart(byte: first) }
    var parser = SafetensorsHeaderParser(dataOffset: 8 + length, fileSize: fileSize)
    try parser.parse(text)
    let tensors = try parser.tensorsInOrderOfData()
    return SafetensorsHeader(tensors: tensors, metadata: parser.metadata, dataOffset: 8 + length)
  }
}
