import JSON
import TestSupport
import Testing

@testable import Tokenizers

/// Normalizers over whole blocks of Unicode, against digests of the reference's answers.
@Suite("Normalizers")
struct NormalizerTests {
  private static let goldens = try? JSONValue.parse((try? Fixtures.bytes("tokenizers/stages.json")) ?? [])

  static let digests: [JSONValue] = goldens?["digests"]?.array ?? []

  @Test("treat every scalar of many blocks as the reference does", arguments: digests)
  func treatScalars(golden: JSONValue) throws {
    let normalizer = try Normalizer(try Fields(try #require(golden["normalizer"]), at: "normalizer"))
    let ranges = try #require(Self.goldens?["digest_ranges"]?.array)
    var digest: UInt64 = 0xCBF2_9CE4_8422_2325
    for range in ranges {
      for value in UInt32(range[0]?.int ?? 0)..<UInt32(range[1]?.int ?? 0) {
        var bare: [UInt8] = []
        UTF8Scalar.append(value, to: &bare)
        for text in [bare, [0x61] + bare + [0xCC, 0xA3]] {
          for byte in try normalizer.normalize(text.span) ?? text {
            digest = (digest ^ UInt64(byte)) &* 0x100_0000_01B3
          }
          digest = digest &* 0x100_0000_01B3
        }
      }
    }
    #expect(String(digest, radix: 16) == golden["digest"]?.string)
  }

  @Test("leave text alone that is in the form already")
  func leaveTextAlone() {
    #expect(NormalizationForm.nfc.normalize(Array("Hello, Åé 你好 😀".utf8).span) == nil)
    #expect(NormalizationForm.nfkd.normalize(Array("plain".utf8).span) == nil)
  }

  @Test("keep bytes that are no UTF-8", arguments: NormalizationForm.allCases)
  func keepInvalidBytes(form: NormalizationForm) {
    let bytes: [UInt8] = [0xC3, 0xA9, 0xFF, 0xCC, 0x81, 0xC3]
    let result = form.normalize(bytes.span) ?? bytes
    #expect(result.contains(0xFF) && result.last == 0xC3)
  }
}
