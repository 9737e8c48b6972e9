/// BERT's clean-up: control characters and accents go, Chinese characters stand alone, letters become small.
struct BertNormalizer: Sendable {
  var cleansText: Bool
  var isolatesChineseCharacters: Bool
  var stripsAccents: Bool
  var lowercases: Bool

  func normalize(_ text: Span<UInt8>) -> [UInt8] {
    var result = text.mappingScalars(appendClean)
    if stripsAccents {
      if let decomposed = NormalizationForm.nfd.normalize(result.span) { result = decomposed }
      result = result.span.removingScalars { $0 >= 0x300 && ScalarFlags.of($0).contains(.nonspacingMark) }
    }
    return lowercases ? result.span.mappingScalars(appendLowercase) : result
  }

  private func appendClean(_ scalar: UInt32, to result: inout [UInt8]) {
    if cleansText {
      if scalar < UTF8Scalar.opaque, ScalarFlags.of(scalar).contains(.control) { return }
      if ScalarFlags.isWhitespace(scalar) { return result.append(0x20) }
    }
    if isolatesChineseCharacters, Self.isChinese(scalar) {
      result.append(0x20)
      UTF8Scalar.append(scalar, to: &result)
      result.append(0x20)
    } else {
      UTF8Scalar.append(scalar, to: &result)
    }
  }

  private static func isChinese(_ scalar: UInt32) -> Bool {
    switch scalar {
    case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0xF900...0xFAFF, 0x2_0000...0x2_A6DF, 0x2_A700...0x2_B81F,
      0x2_B920...0x2_CEAF, 0x2_F800...0x2_FA1F:
      true
    default: false
    }
  }
}

/// The clean-up of SentencePiece's "nmt" rules: control characters go, exotic spaces become plain ones.
enum NmtNormalizer {
  static func normalize(_ text: Span<UInt8>) -> [UInt8] {
    text.mappingScalars { scalar, result in
      switch scalar {
      case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: break
      case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD:
        result.append(0x20)
      default: UTF8Scalar.append(scalar, to: &result)
      }
    }
  }
}
