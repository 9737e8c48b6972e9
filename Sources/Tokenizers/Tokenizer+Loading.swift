internal import Glibc
internal import JSON

extension Tokenizer {
  /// Reads `tokenizer.json` and, where they exist, `tokenizer_config.json` and `special_tokens_map.json`.
  package static func load(directory: String) throws(TokenizerError) -> Tokenizer {
    let path = directory + "/tokenizer.json"
    let json = try readFile(path)
    let configuration = try readOptionalJSON(directory + "/tokenizer_config.json")
    let map = try readOptionalJSON(directory + "/special_tokens_map.json")
    do throws(TokenizerError) {
      return try Tokenizer(json: json, configuration: configuration, specialTokensMap: map)
    } catch {
      throw .inFile(path, error)
    }
  }

  private static func readOptionalJSON(_ path: String) throws(TokenizerError) -> JSONValue? {
    let bytes: [UInt8]
    do throws(TokenizerError) {
      bytes = try readFile(path)
    } catch {
      if case .fileNotFound = error { return nil }
      throw error
    }
    do throws(JSONError) {
      return try JSONValue.parse(bytes)
    } catch {
      throw .inFile(path, .invalidJSON(error))
    }
  }

  /// Larger files are no tokenizers.
  private static var largestFile: Int { 1 << 30 }

  private static func readFile(_ path: String) throws(TokenizerError) -> [UInt8] {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    if file < 0 {
      let code = errno
      throw code == ENOENT ? .fileNotFound(path: path) : .unreadable(path: path, code: code)
    }
    defer { close(file) }
    var status = stat()
    guard unsafe fstat(file, &status) == 0 else { throw .unreadable(path: path, code: errno) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw .unreadable(path: path, code: EISDIR) }
    let size = Int(status.st_size)
    guard size <= largestFile else { throw .unreadable(path: path, code: EFBIG) }
    var failure: Int32?
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
      while count < size {
        let got = unsafe read(file, buffer.baseAddress?.advanced(by: count), size - count)
        if got < 0, errno == EINTR { continue }
        if got < 0 { failure = errno }
        if got <= 0 { break }
        count += got
      }
    }
    if let failure { throw .unreadable(path: path, code: failure) }
    return bytes
  }
}

/// What `tokenizer_config.json` and `special_tokens_map.json` call a tokenizer's special tokens.
struct SpecialTokenNames: Sendable {
  var bos: String?
  var eos: String?
  var unk: String?
  var pad: String?

  init(bos: String? = nil, eos: String? = nil, unk: String? = nil, pad: String? = nil) {
    self.bos = bos
    self.eos = eos
    self.unk = unk
    self.pad = pad
  }

  init(_ configuration: JSONValue?, fallback: JSONValue?) {
    /// A token is a string, or an object with its content.
    func name(_ key: String) -> String? {
      // `null` in the configuration means that there is none.
      let value = configuration?[key] ?? fallback?[key]
      return value?.string ?? value?["content"]?.string
    }
    self.init(bos: name("bos_token"), eos: name("eos_token"), unk: name("unk_token"), pad: name("pad_token"))
  }
}
