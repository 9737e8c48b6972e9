internal import JSON

/// Python's `dict`, immutable: keys in the order they came, equal when Python finds them so (1, 1.0, True).
final class TemplateDictionary {
  let keys: [TemplateValue]
  let values: [TemplateValue]
  let depth: Int
  /// Places by key, kept only where a search through `identities` would be slow.
  private let places: [Key: Int]?
  private let identities: [Key]

  private static let linearSearchLimit = 8
  /// Of tuples in tuples.
  static let deepestKey = 3

  /// Of equal keys the last value counts, at the first one's place.
  init(_ pairs: [(key: TemplateValue, value: TemplateValue)]) throws(TemplateProblem) {
    var places: [Key: Int] = [:]
    var keys: [TemplateValue] = []
    var values: [TemplateValue] = []
    var identities: [Key] = []
    for (key, value) in pairs {
      let identity = try Key(key)
      if let place = places[identity] {
        values[place] = value
      } else {
        places[identity] = keys.count
        identities.append(identity)
        keys.append(key)
        values.append(value)
      }
    }
    self.keys = keys
    self.values = values
    self.identities = identities
    self.places = keys.count > Self.linearSearchLimit ? places : nil
    depth = 1 + max(keys.deepest, values.deepest)
  }

  init(_ members: JSONObject) {
    keys = members.keys.map { .string($0) }
    values = members.values.map { TemplateValue($0) }
    identities = members.keys.map { .string(Key.Text(text: $0)) }
    places =
      members.count > Self.linearSearchLimit
      ? Dictionary(zip(identities, identities.indices)) { first, _ in first } : nil
    depth = 1 + values.deepest
  }

  var count: Int { keys.count }

  subscript(key: String) -> TemplateValue? { value(for: .string(Key.Text(text: key))) }

  /// - Throws: `type` when the key is of a type that has no hash, like a list.
  func value(for key: TemplateValue) throws(TemplateProblem) -> TemplateValue? { value(for: try Key(key)) }

  private func value(for key: Key) -> TemplateValue? {
    let place = if let places { places[key] } else { identities.firstIndex(of: key) }
    return place.map { values[$0] }
  }
}

extension TemplateDictionary {
  /// What makes two keys the same.
  enum Key: Hashable {
    case none
    case undefined
    case integer(Int64)
    case float(Double)
    case string(Text)
    case tuple([Key])
    case range(start: Int64, step: Int64, count: Int)
    case function(TemplateFunction)
    case object(ObjectIdentifier)

    /// A string compared by its bytes.
    struct Text: Hashable {
      let text: String

      static func == (a: Text, b: Text) -> Bool { a.text.hasSameBytes(as: b.text) }
    }

    init(_ value: TemplateValue) throws(TemplateProblem) {
      switch value {
      case .none: self = .none
      case .undefined: self = .undefined
      case .bool(let value): self = .integer(value ? 1 : 0)
      case .integer(let value): self = .integer(value)
      case .float(let value): self = Int64(exactly: value).map { .integer($0) } ?? .float(value)
      case .string(let text): self = .string(Text(text: text))
      case .tuple(let sequence):
        // A key is copied with all that is in it; a template can share one tuple many times in another.
        guard sequence.depth <= TemplateDictionary.deepestKey, sequence.elements.count <= 64 else {
          throw .value("this tuple is too large for a dictionary's key")
        }
        self = .tuple(try sequence.elements.map { element throws(TemplateProblem) in try Key(element) })
      case .namespace(let object): self = .object(ObjectIdentifier(object))
      case .macro(let object): self = .object(ObjectIdentifier(object))
      case .iterator(let object): self = .object(ObjectIdentifier(object))
      case .loop(let object): self = .object(ObjectIdentifier(object))
      case .method(let object): self = .object(ObjectIdentifier(object))
      case .function(let function): self = .function(function)
      case .range(let range):
        let (isEmpty, isSingle) = (range.count == 0, range.count < 2)
        self = .range(start: isEmpty ? 0 : range.start, step: isSingle ? 0 : range.step, count: range.count)
      case .view(let view) where view.kind == .values: self = .object(ObjectIdentifier(view.dictionary))
      case .list, .dictionary, .view:
        throw .type("unhashable type: '\(value.typeName)'")
      }
    }
  }
}
