/// The stage that sets special tokens around a text, or around the two texts of a pair.
struct PostProcessor: Sendable {
  enum Item: Equatable, Sendable {
    case special([Int32], typeID: Int32)
    case first(typeID: Int32)
    case second(typeID: Int32)
  }

  var single: [Item]
  var pair: [Item]

  /// The values of `post_processor.type` that are known.
  static let names = ["TemplateProcessing", "ByteLevel", "BertProcessing", "RobertaProcessing", "Sequence"]

  /// Without a post-processor: the texts one behind the other.
  static let plain = PostProcessor(
    single: [.first(typeID: 0)], pair: [.first(typeID: 0), .second(typeID: 1)])

  static func bert(cls: Int32, sep: Int32) -> PostProcessor {
    PostProcessor(
      single: [.special([cls], typeID: 0), .first(typeID: 0), .special([sep], typeID: 0)],
      pair: [
        .special([cls], typeID: 0), .first(typeID: 0), .special([sep], typeID: 0), .second(typeID: 1),
        .special([sep], typeID: 1),
      ])
  }

  static func roberta(cls: Int32, sep: Int32) -> PostProcessor {
    PostProcessor(
      single: [.special([cls], typeID: 0), .first(typeID: 0), .special([sep], typeID: 0)],
      pair: [
        .special([cls], typeID: 0), .first(typeID: 0), .special([sep, sep], typeID: 0), .second(typeID: 0),
        .special([sep], typeID: 0),
      ])
  }

  /// The single text's tokens between the special tokens that stand before and behind it.
  var singleAffixes: (before: [Int32], after: [Int32]) {
    var before: [Int32] = []
    var after: [Int32] = []
    var isBehind = false
    for item in single {
      switch item {
      case .special(let ids, _): if isBehind { after += ids } else { before += ids }
      case .first, .second: isBehind = true
      }
    }
    return (before, after)
  }

  func applyToPair(
    _ first: [Int32], _ second: [Int32], addSpecialTokens: Bool
  ) -> (ids: [Int32], typeIDs: [Int32]) {
    var ids: [Int32] = []
    var typeIDs: [Int32] = []
    for item in pair {
      let (part, typeID): ([Int32], Int32) =
        switch item {
        case .special(let special, let typeID): (addSpecialTokens ? special : [], typeID)
        case .first(let typeID): (first, typeID)
        case .second(let typeID): (second, typeID)
        }
      ids += part
      typeIDs += repeatElement(typeID, count: part.count)
    }
    return (ids, typeIDs)
  }
}
