internal import Glibc

/// A body of type multipart/form-data (RFC 7578), as browsers and API clients send files.
///
/// ```
/// --boundary CRLF
/// Content-Disposition: form-data; name="purpose" CRLF CRLF
/// batch CRLF
/// --boundary CRLF
/// Content-Disposition: form-data; name="file"; filename="in.jsonl" CRLF
/// Content-Type: application/octet-stream CRLF CRLF
/// … CRLF
/// --boundary--
/// ```
struct MultipartForm {
  struct Part: Equatable {
    var name: String
    var filename: String?
    /// Of the body's bytes.
    var content: Range<Int>
  }
  private static let maximumParts = 16
  private static let maximumHeaderBytes = 8192

  let parts: [Part]

  init(_ request: HTTPRequest) throws(APIError) {
    let type = request.headers["Content-Type"] ?? ""
    guard type.prefix(while: { $0 != ";" }).lowercased() == "multipart/form-data",
      let boundary = Self.parameter("boundary", of: type), (1...70).contains(boundary.utf8.count)
    else {
      throw APIError(
        400, .badRequest, "Send the file as multipart/form-data, with a boundary.", parameter: "Content-Type")
    }
    parts = try Self.parse(request.body, boundary: boundary)
  }

  subscript(name: String) -> Part? { parts.first { $0.name == name } }

  private static func parse(_ body: [UInt8], boundary: String) throws(APIError) -> [Part] {
    let delimiter = Array("--\(boundary)".utf8)
    let separator = [13, 10] + delimiter
    // What stands before the first delimiter is nobody's.
    guard
      var place = body.starts(with: delimiter)
        ? delimiter.count : find(separator, in: body, from: 0).map({ $0 + separator.count })
    else { throw malformed("the boundary does not occur") }
    var parts: [Part] = []
    while true {
      if body[place...].starts(with: [45, 45]) { return parts }
      guard body[place...].starts(with: [13, 10]) else { throw malformed("a boundary's line does not end") }
      guard parts.count < maximumParts else { throw malformed("it has more than \(maximumParts) parts") }
      // The blank line may follow the boundary at once.
      guard let head = find([13, 10, 13, 10], in: body, from: place), head - place <= maximumHeaderBytes
      else {
        throw malformed("a part's headers do not end")
      }
      let content = head + 4
      guard let end = find(separator, in: body, from: head + 2) else {
        throw malformed("a part does not end")
      }
      let headers = String(decoding: body[place..<head], as: UTF8.self)
      parts.append(try part(headers, content..<max(content, end)))
      place = end + separator.count
    }
  }

  private static func part(_ headers: String, _ content: Range<Int>) throws(APIError) -> Part {
    for line in headers.split(whereSeparator: { $0 == "\r\n" || $0 == "\n" }) {
      guard line.lowercased().hasPrefix("content-disposition:") else { continue }
      guard let name = parameter("name", of: String(line)) else { break }
      return Part(name: name, filename: parameter("filename", of: String(line)), content: content)
    }
    throw malformed("a part has no name")
  }

  /// The value of `name=value` or `name="value"` in a header; backslashes hide quotes.
  private static func parameter(_ name: String, of header: String) -> String? {
    var rest = Substring(header)
    while let semicolon = rest.firstIndex(of: ";") {
      rest = rest[rest.index(after: semicolon)...].drop { $0 == " " || $0 == "\t" }
      guard let equals = rest.firstIndex(of: "=") else { return nil }
      let key = rest[..<equals]
      rest = rest[rest.index(after: equals)...]
      var value = ""
      if rest.first == "\"" {
        rest = rest.dropFirst()
        while let character = rest.popFirst(), character != "\"" {
          if character == "\\", let hidden = rest.popFirst() {
            value.append(hidden)
          } else {
            value.append(character)
          }
        }
      } else {
        value = String(rest.prefix { $0 != ";" && $0 != " " && $0 != "\r" })
      }
      if key.lowercased() == name { return value }
    }
    return nil
  }

  /// - Parameter bytes: begins with CR, which is looked for first.
  private static func find(_ bytes: [UInt8], in body: [UInt8], from start: Int) -> Int? {
    unsafe body.withUnsafeBytes { body -> Int? in
      guard let base = body.baseAddress else { return nil }
      var place = start
      while body.count - place >= bytes.count {
        let found = unsafe memchr(base + place, 13, body.count - place - bytes.count + 1)
        guard let found = unsafe found else { return nil }
        place = unsafe UnsafeRawPointer(found) - base
        if unsafe memcmp(base + place, bytes, bytes.count) == 0 { return place }
        place += 1
      }
      return nil
    }
  }

  private static func malformed(_ reason: String) -> APIError {
    APIError(400, .badRequest, "The multipart body cannot be read: \(reason).", parameter: "body")
  }
}
