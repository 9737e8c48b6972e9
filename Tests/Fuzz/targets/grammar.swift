internal import Grammars
internal import JSON

/// Readers of regular expressions, grammars and schemas refuse or compile within bounds, and what they compile never
/// comes to a place from which it can't go on.
@c(LLVMFuzzerTestOneInput)
public func fuzzGrammar(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  let bytes = unsafe [UInt8](UnsafeBufferPointer(start: data, count: size))
  guard let kind = bytes.first else { return 0 }
  let text = String(decoding: bytes.dropFirst(), as: UTF8.self)
  var limits = GrammarLimits()
  limits.states = 20_000
  limits.regexStates = 2000
  limits.alternatives = 32
  let specification: GrammarSpecification
  switch kind % 4 {
  case 0: specification = .regex(text)
  case 1: specification = .grammar(text)
  case 2: specification = .choice(text.split(separator: "\n").map { String($0) })
  default:
    guard let schema = try? JSONValue.parse(text) else { return 0 }
    specification = .jsonSchema(schema, .flexible)
  }
  guard let automaton = try? GrammarAutomaton(specification, limits: limits) else { return 0 }
  // Every byte is a token: there is always one to go on with.
  let vocabulary = GrammarVocabulary(count: 256) { [UInt8(truncatingIfNeeded: $0)] }
  var matcher = TokenGrammar(automaton, vocabulary: vocabulary).matcher()
  var words = [UInt32](repeating: 0, count: 8)
  for step in 0..<24 {
    guard (try? matcher.mask(into: &words)) != nil else { return 0 }
    let allowed = (0..<256).filter { words[$0 / 32] >> UInt32($0 % 32) & 1 == 1 }
    if allowed.isEmpty {
      precondition(matcher.isComplete)
      return 0
    }
    precondition(!matcher.isComplete)
    let choice = allowed[(Int(bytes[step % bytes.count]) + step) % allowed.count]
    guard let isTaken = try? matcher.advance(Int32(choice)) else { return 0 }
    precondition(isTaken)
  }
  return 0
}
