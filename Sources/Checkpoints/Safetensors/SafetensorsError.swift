package import JSON

/// What is wrong with a safetensors file. Offsets count bytes from the start of the file.
package enum SafetensorsError: Error, Equatable, Sendable {
  case tooShort(fileSize: Int)
  case headerTooLong(bytes: UInt64, limit: Int)
  case headerPastEnd(bytes: Int, fileSize: Int)
  case headerStart(byte: UInt8)
  case json(JSONError)
  case duplicateTensor(String)
  case missingField(tensor: String, field: String)
  case duplicateField(tensor: String, field: String)
  case unknownDataType(tensor: String, name: String)
  case badExtent(tensor: String, offset: Int)
  case badRange(tensor: String, offset: Int)
  case shapeOverflow(tensor: String)
  case outsideData(tensor: String, begin: Int, end: Int, dataBytes: Int)
  case sizeMismatch(tensor: String, shapeBytes: Int, rangeBytes: Int)
  case overlap(tensor: String, other: String, offset: Int)
  case hole(from: Int, to: Int)
}

extension SafetensorsError: CustomStringConvertible {
  package var description: String {
    let download = "; the file is damaged or incomplete, download or write it again"
    return switch self {
    case .tooShort(let fileSize):
      "\(fileSize) bytes are too few for a safetensors file (8 bytes of header length first)" + download
    case .headerTooLong(let bytes, let limit):
      "byte 0: a header of \(bytes) bytes is longer than the \(limit) accepted; not a safetensors file?"
    case .headerPastEnd(let bytes, let fileSize):
      "byte 0: the header of \(bytes) bytes does not end within the file of \(fileSize) bytes" + download
    case .headerStart(let byte):
      "byte 8: the header must begin with '{', found byte \(byte); not a safetensors file?"
    case .json(let error):
      "header (its byte 0 is byte 8 of the file): \(error)"
    case .duplicateTensor(let name):
      "header: tensor \(name) is listed twice"
    case .missingField(let tensor, let field):
      "header: tensor \(tensor) has no \"\(field)\""
    case .duplicateField(let tensor, let field):
      "header: tensor \(tensor) has \"\(field)\" twice"
    case .unknownDataType(let tensor, let name):
      "header: tensor \(tensor) has the dtype \"\(name)\"; known are \(SafetensorsDataType.knownNames)"
    case .badExtent(let tensor, let offset):
      "byte \(offset): tensor \(tensor): a dimension must be a whole number from 0"
    case .badRange(let tensor, let offset):
      "byte \(offset): tensor \(tensor): data_offsets must be two whole numbers, begin <= end"
    case .shapeOverflow(let tensor):
      "header: tensor \(tensor): the shape has more bytes than can be counted"
    case .outsideData(let tensor, let begin, let end, let dataBytes):
      "header: tensor \(tensor): data_offsets [\(begin), \(end)] lie outside the \(dataBytes) bytes of data"
        + download
    case .sizeMismatch(let tensor, let shapeBytes, let rangeBytes):
      "header: tensor \(tensor): dtype and shape need \(shapeBytes) bytes, data_offsets give \(rangeBytes)"
    case .overlap(let tensor, let other, let offset):
      "byte \(offset): the data of tensor \(tensor) overlaps that of \(other)"
    case .hole(let from, let to):
      "bytes \(from)..<\(to) belong to no tensor; data must be contiguous and end with the file" + download
    }
  }
}
