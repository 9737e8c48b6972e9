package import Numerics

/// What is wrong with a GGUF file. Offsets count bytes from the start of the file.
package enum GGUFError: Error, Equatable, Sendable {
  case truncated(field: String, offset: Int, fileSize: Int)
  case badMagic
  case bigEndian
  case unsupportedVersion(UInt32)
  case countTooLarge(field: String, count: UInt64, offset: Int)
  case unknownValueType(key: String, id: UInt32, offset: Int)
  case arrayTooDeep(key: String, limit: Int)
  case badBool(key: String, byte: UInt8, offset: Int)
  case notUTF8(field: String, offset: Int)
  case duplicateKey(String)
  case duplicateTensor(String)
  case badAlignment(UInt64)
  case tooManyDimensions(tensor: String, count: UInt32)
  case shapeOverflow(tensor: String)
  case unsupportedTensorType(tensor: String, id: UInt32)
  case partialBlock(tensor: String, row: UInt64, type: GGMLType)
  case misalignedTensor(tensor: String, offset: UInt64, alignment: Int)
  case tensorOutsideFile(tensor: String, offset: UInt64, bytes: Int, fileSize: Int)
  case overlap(tensor: String, other: String)

  case missingKey(String)
  case wrongType(key: String, found: String, expected: String)
  case badValue(key: String, value: String, expected: String)
  case unsupportedArchitecture(String)
  case unsupportedFeature(key: String, value: String)
  case unknownTensor(String, architecture: String)
  case badTensorShape(tensor: String, shape: [Int], expected: String)
  case split(count: Int)
}

extension GGUFError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .truncated(let field, let offset, let fileSize):
      "byte \(offset): \(field) goes past the end of the file (\(fileSize) bytes); download it again"
    case .badMagic: "does not begin with \"GGUF\"; not a GGUF file"
    case .bigEndian:
      "byte 4: a big-endian GGUF file; convert it to little-endian with gguf-py's gguf-convert-endian"
    case .unsupportedVersion(let version): "byte 4: GGUF version \(version); known are 2 and 3"
    case .countTooLarge(let field, let count, let offset):
      "byte \(offset): \(field) is \(count), more than the rest of the file can hold"
    case .unknownValueType(let key, let id, let offset):
      "byte \(offset): value of \(key) has the unknown type \(id); known are 0 to 12"
    case .arrayTooDeep(let key, let limit): "arrays of \(key) are nested deeper than \(limit)"
    case .badBool(let key, let byte, let offset):
      "byte \(offset): \(key) is a bool with value \(byte), not 0 or 1"
    case .notUTF8(let field, let offset): "byte \(offset): \(field) is not valid UTF-8"
    case .duplicateKey(let key): "key \(key) appears twice"
    case .duplicateTensor(let name): "tensor \(name) is listed twice"
    case .badAlignment(let value):
      "general.alignment is \(value); it must be a power of two, from 1 to \(GGUFFile.maximumAlignment)"
    case .tooManyDimensions(let tensor, let count):
      "tensor \(tensor) has \(count) dimensions; at most 4 are possible"
    case .shapeOverflow(let tensor): "tensor \(tensor): the shape has more bytes than can be counted"
    case .unsupportedTensorType(let tensor, let id):
      "tensor \(tensor) has the type \(GGMLType.name(ofID: id)) (id \(id)); known are "
        + GGMLType.allCases.map(\.name).joined(separator: ", ")
    case .partialBlock(let tensor, let row, let type):
      "tensor \(tensor): rows of \(row) elements are no whole number of \(type.name) blocks of \(type.blockElements)"
    case .misalignedTensor(let tensor, let offset, let alignment):
      "tensor \(tensor): offset \(offset) is no multiple of the alignment \(alignment)"
    case .tensorOutsideFile(let tensor, let offset, let bytes, let fileSize):
      "tensor \(tensor): \(bytes) bytes at data offset \(offset) end behind the file (\(fileSize) bytes);"
        + " download it again"
    case .overlap(let tensor, let other): "the data of tensor \(tensor) overlaps that of \(other)"
    case .missingKey, .wrongType, .badValue, .unsupportedArchitecture, .unsupportedFeature, .unknownTensor,
      .badTensorShape, .split:
      modelDescription
    }
  }

  private var modelDescription: String {
    switch self {
    case .missingKey(let key): "metadata has no \(key)"
    case .wrongType(let key, let found, let expected): "metadata \(key) is \(found), expected \(expected)"
    case .badValue(let key, let value, let expected): "metadata \(key) is \(value), expected \(expected)"
    case .unsupportedArchitecture(let name):
      "the architecture \"\(name)\" is not known as GGUF; known are "
        + GGUFArchitecture.all.map(\.name).joined(separator: ", ")
    case .unsupportedFeature(let key, let value): "metadata \(key) = \(value) is not supported"
    case .unknownTensor(let name, let architecture):
      "tensor \(name) is not known for the architecture \(architecture); leaving it out would change the model"
    case .badTensorShape(let tensor, let shape, let expected):
      "tensor \(tensor) has the shape \(shape), expected \(expected)"
    case .split(let count):
      "one of \(count) parts; join them with llama.cpp's `llama-gguf-split --merge` and give the result"
    default: "malformed GGUF"
    }
  }
}
