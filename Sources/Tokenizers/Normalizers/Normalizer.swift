/// The stage that rewrites a text before it is cut into pieces.
indirect enum Normalizer: Sendable {
  case form(NormalizationForm)
  case lowercase
  case stripAccents
  case strip(left: Bool, right: Bool)
  case prepend([UInt8])
  case replace(TextPattern, with: [UInt8])
  case bert(BertNormalizer)
  case nmt
  case precompiled(PrecompiledNormalizer)
  case byteLevel
  case sequence([Normalizer])

  /// The values of `normalizer.type` that are known.
  static let names = [
    "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip", "Prepend", "Replace",
    "BertNormalizer",
    "Nmt", "Precompiled", "ByteLevel", "Sequence",
  ]

  /// The text rewritten, or nil when it stays as it is.
  func normalize(_ text: Span<UInt8>) throws(TokenizerError) -> [UInt8]? {
    try normalize(text, limit: TextPattern.longestResult(from: text.count))
  }

  private func normalize(_ text: Span<UInt8>, limit: Int) throws(TokenizerError) -> [UInt8]? {
    switch self {
    case .form(let form): return form.normalize(text)
    case .lowercase: return text.mappingScalars(appendLowercase)
    case .stripAccents: return text.removingScalars { $0 >= 0x300 && ScalarFlags.of($0).contains(.mark) }
    case .strip(let left, let right):
      let range = text.trimmedWhitespace(left: left, right: right)
      return range.count == text.count ? nil : Array(text.extracting(range))
    case .prepend(let prefix): return text.isEmpty ? nil : prefix + Array(text)
    case .replace(let pattern, let content):
      return try pattern.replaceAll(in: text, with: content, limit: limit)
    case .bert(let normalizer): return normalizer.normalize(text)
    case .nmt: return NmtNormalizer.normalize(text)
    case .precompiled(let normalizer): return normalizer.normalize(text)
    case .byteLevel:
      var result: [UInt8] = []
      ByteAlphabet.appendText(of: text, to: &result)
      return result
    case .sequence(let stages):
      var result: [UInt8]?
      for stage in stages {
        if let current = result {
          if let next = try stage.normalize(current.span, limit: limit) { result = next }
        } else {
          result = try stage.normalize(text, limit: limit)
        }
      }
      return result
    }
  }
}

/// Appends the full lower-case mapping of one scalar, regardless of its neighbours.
func appendLowercase(_ scalar: UInt32, to result: inout [UInt8]) {
  if scalar < 0x80 {
    let isUppercase = (0x41...0x5A).contains(scalar)
    result.append(UInt8(truncatingIfNeeded: isUppercase ? scalar + 0x20 : scalar))
  } else if let known = Unicode.Scalar(scalar), known.properties.changesWhenLowercased {
    result.append(contentsOf: known.properties.lowercaseMapping.utf8)
  } else {
    UTF8Scalar.append(scalar, to: &result)
  }
}

extension Array<UInt8> {
  init(_ bytes: Span<UInt8>) {
    self = []
    append(bytes)
  }
}

extension Span<UInt8> {
  /// Each scalar replaced by what `append` writes for it.
  func mappingScalars(_ append: (UInt32, inout [UInt8]) -> Void) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(count)
    var place = 0
    while place < count {
      let (scalar, length) = UTF8Scalar.decode(self, at: place)
      append(scalar, &result)
      place += length
    }
    return result
  }

  func removingScalars(_ isRemoved: (UInt32) -> Bool) -> [UInt8] {
    mappingScalars { scalar, result in
      if !isRemoved(scalar) { UTF8Scalar.append(scalar, to: &result) }
    }
  }

  /// The bytes between the white space at both ends.
  func trimmedWhitespace(left: Bool, right: Bool) -> Range<Int> {
    var start = 0
    var end = count
    while left, start < end {
      let (scalar, length) = UTF8Scalar.decode(self, at: start)
      if !ScalarFlags.isWhitespace(scalar) { break }
      start += length
    }
    while right, end > start {
      let (scalar, length) = UTF8Scalar.decodeLast(self, before: end)
      if !ScalarFlags.isWhitespace(scalar) { break }
      end -= length
    }
    return start..<end
  }
}
