internal import JSON

extension PostProcessor {
  /// nil for a processor that adds no tokens.
  static func parse(_ fields: Fields) throws(TokenizerError) -> PostProcessor? {
    let type = try fields.string("type")
    switch type {
    case "ByteLevel": return nil
    case "BertProcessing": return bert(cls: try fields.tokenAndID("cls"), sep: try fields.tokenAndID("sep"))
    case "RobertaProcessing":
      return roberta(cls: try fields.tokenAndID("cls"), sep: try fields.tokenAndID("sep"))
    case "TemplateProcessing":
      return PostProcessor(
        single: try items(fields, "single", allowsSecond: false),
        pair: try items(fields, "pair", allowsSecond: true))
    case "Sequence":
      var found: PostProcessor?
      for processor in try fields.objects("processors") {
        // A sequence inside would let the file choose the depth of recursion.
        if processor.value["type"]?.string == "Sequence" {
          throw .unsupported(field: processor.path, reason: "a sequence in a sequence is not supported")
        }
        guard let next = try parse(processor) else { continue }
        if found != nil {
          throw .unsupported(field: processor.path, reason: "only one processor may add tokens")
        }
        found = next
      }
      return found
    default: throw fields.unknown("type", type, known: names)
    }
  }

  private static func items(
    _ fields: Fields, _ key: String, allowsSecond: Bool
  ) throws(TokenizerError) -> [Item] {
    var items: [Item] = []
    for element in try fields.objects(key) {
      if element.optional("Sequence") != nil {
        let sequence = try element.object("Sequence")
        let typeID = Int32(try sequence.int("type_id", in: 0...255, default: 0))
        switch try sequence.string("id") {
        case "A": items.append(.first(typeID: typeID))
        case "B" where allowsSecond: items.append(.second(typeID: typeID))
        case let name: throw sequence.unknown("id", name, known: allowsSecond ? ["A", "B"] : ["A"])
        }
      } else if element.optional("SpecialToken") != nil {
        let token = try element.object("SpecialToken")
        let typeID = Int32(try token.int("type_id", in: 0...255, default: 0))
        items.append(.special(try specialIDs(fields, try token.string("id")), typeID: typeID))
      } else {
        throw .unsupported(field: element.path, reason: "must be {\"Sequence\": …} or {\"SpecialToken\": …}")
      }
    }
    guard items.contains(where: { if case .first = $0 { true } else { false } }) else {
      throw .unsupported(field: fields.path(key), reason: "the text (sequence A) is missing")
    }
    return items
  }

  private static func specialIDs(_ fields: Fields, _ name: String) throws(TokenizerError) -> [Int32] {
    let tokens = try fields.object("special_tokens")
    let token = try tokens.object(name)
    var ids: [Int32] = []
    for (index, element) in try token.elements("ids").enumerated() {
      ids.append(try Fields.id(element, at: "\(token.path("ids"))[\(index)]"))
    }
    return ids
  }
}

extension Fields {
  /// `["[SEP]", 102]`
  fileprivate func tokenAndID(_ key: String) throws(TokenizerError) -> Int32 {
    let pair = try elements(key)
    guard pair.count == 2 else { throw .wrongType(field: path(key), expected: "[token, id]") }
    return try Self.id(pair[1], at: "\(path(key))[1]")
  }

  fileprivate static func id(_ value: JSONValue, at path: String) throws(TokenizerError) -> Int32 {
    guard let id = value.int else { throw .wrongType(field: path, expected: "a token's id") }
    guard (0..<Vocabulary.idLimit).contains(id) else {
      throw .outOfRange(field: path, value: "\(id)", allowed: "0..<\(Vocabulary.idLimit)")
    }
    return Int32(id)
  }
}
