internal import JSON

/// Reading and skipping agree on what is valid, and what was read survives being written and read again.
@c(LLVMFuzzerTestOneInput)
public func fuzzJSON(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  let bytes = unsafe [UInt8](UnsafeBufferPointer(start: data, count: size))
  let parsed = Result { () throws(JSONError) in try JSONValue.parse(bytes) }
  let skipped = Result { () throws(JSONError) in
    var scanner = try JSONScanner(bytes)
    try scanner.skipValue()
    try scanner.finish()
  }
  switch (parsed, skipped) {
  case (.failure(let a), .failure(let b)):
    precondition(a == b)
    precondition(a.byteOffset <= size)
  case (.success(let value), .success):
    let formats: [JSONFormat] = [.compact, .pretty, JSONFormat(sortKeys: true, escapesNonASCII: true)]
    for format in formats {
      guard let again = try? JSONValue.parse(value.serialized(format)) else { preconditionFailure() }
      precondition(again == value)
    }
  default: preconditionFailure("parsed: \(parsed), skipped: \(skipped)")
  }
  return 0
}
