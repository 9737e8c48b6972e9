package import Compute
package import Scheduling

/// Suffix decoding: proposes what most often followed the longest suffix of the sequence that was seen before, in
/// itself or in what other requests were answered.
///
/// After Oliaro et al., "SuffixDecoding" (arXiv 2411.04975), with its adaptive length: the longer the match and the
/// clearer the vote, the more is proposed. Instead of a suffix tree, whose size is a multiple of its text's, past
/// answers lie in a ring of tokens with the match finder of an LZ77 compressor:
///
/// ```
/// ring    … │ answer of request 7 … │ answer of request 8 … │  ← the oldest is overwritten
/// head    hash of three tokens → the last position behind them
/// chain   position → the one before it with the same hash
/// ```
/// Looking up is a walk of at most `probes` positions of the chain; memory is 8 bytes a token and never grows.
///
/// Answers to requests with a `cache_salt` are neither kept nor helped by others: how fast an answer comes must not
/// tell what somebody else was told.
package final class SuffixCache: DraftSource {
  private let settings: SuffixSettings
  private var ring: [Int32]
  private var chain: [Int32]
  private var head: [Int32]
  /// Tokens ever written; position `p` lies at `p % capacity`.
  private var written = 0
  /// Answers under way, by slot.
  private var answers: [(id: SequenceID, tokens: [Int32])?] = []
  private var candidates: [Candidate] = []

  /// Stands between two answers, and in no vocabulary.
  static let separator: Int32 = -1
  /// Tokens that are hashed: shorter matches are not worth a proposal.
  static let hashed = 3
  /// Positions looked at.
  static let probes = 64

  private struct Candidate {
    /// Of the next token.
    var position: Int
    var length: Int
    var isOwn: Bool
  }

  package init(_ settings: SuffixSettings) {
    self.settings = settings
    var capacity = 64
    while capacity < settings.capacity { capacity *= 2 }
    ring = Array(repeating: Self.separator, count: capacity)
    chain = Array(repeating: -1, count: capacity)
    head = Array(repeating: -1, count: capacity)
  }

  package var costsSteps: Bool { false }

  package func observe(_ id: SequenceID, token: Int32, isShared: Bool) {
    if !isShared { return }
    while answers.count <= id.slot { answers.append(nil) }
    if answers[id.slot]?.id != id { answers[id.slot] = (id, []) }
    answers[id.slot]?.tokens.append(token)
  }

  package func forget(_ id: SequenceID) {
    guard id.slot < answers.count, let answer = answers[id.slot], answer.id == id else { return }
    answers[id.slot] = nil
    append(Self.separator)
    for token in answer.tokens { append(token) }
  }

  package func propose(_ batch: inout DraftBatch, _ scheduler: borrowing Scheduler) throws(KernelError) {
    for index in batch.subjects.indices {
      let subject = batch.subjects[index]
      let found = scheduler.withTokens(of: subject.id) { tokens in
        proposal(tokens, limit: subject.limit, usesShared: subject.isShared)
      }
      if let found { batch.propose(found, for: index, evidence: candidates.first?.length ?? 0) }
    }
  }

  // MARK: The ring

  private var mask: Int { ring.count - 1 }

  private static func hash(_ a: Int32, _ b: Int32, _ c: Int32, _ mask: Int) -> Int {
    var value = UInt64(UInt32(bitPattern: a)) &* 0x9E37_79B9_7F4A_7C15
    value = (value ^ UInt64(UInt32(bitPattern: b))) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ UInt64(UInt32(bitPattern: c))) &* 0x94D0_49BB_1331_11EB
    return Int(truncatingIfNeeded: value &>> 32) & mask
  }

  private func append(_ token: Int32) {
    // Positions are kept as Int32: start over long before they run out.
    if written == Int(Int32.max) - 1 { restart() }
    ring[written & mask] = token
    written += 1
    // The position behind the last three tokens, which the next one will stand at.
    guard written >= Self.hashed else { return }
    let bucket = Self.hash(
      ring[(written - 3) & mask], ring[(written - 2) & mask], ring[(written - 1) & mask], mask)
    chain[written & mask] = head[bucket]
    head[bucket] = Int32(written)
  }

  private func restart() {
    written = 0
    for index in ring.indices {
      ring[index] = Self.separator
      chain[index] = -1
      head[index] = -1
    }
  }

  // MARK: Looking up

  /// - Parameter usesShared: looks at others' answers too.
  func proposal(_ tokens: Span<Int32>, limit: Int, usesShared: Bool) -> [Int32] {
    candidates.removeAll(keepingCapacity: true)
    collectOwn(tokens)
    if usesShared { collectShared(tokens) }
    var longest = 0
    for candidate in candidates { longest = max(longest, candidate.length) }
    candidates.removeAll { $0.length < longest }
    if candidates.isEmpty { return [] }

    let count = min(limit, max(1, Int(Double(longest) * settings.draftsPerMatch)))
    var found: [Int32] = []
    var share = 1.0
    while found.count < count {
      guard let (token, votes, total) = vote(found, tokens) else { break }
      share *= Double(votes) / Double(total)
      if share < settings.leastShare { break }
      let offset = found.count
      candidates.removeAll { self.token($0, offset, found, tokens) != token }
      found.append(token)
    }
    return found
  }

  /// The token most candidates go on with, behind what was proposed already; ties to the nearest occurrence.
  private func vote(_ found: [Int32], _ tokens: Span<Int32>) -> (token: Int32, votes: Int, total: Int)? {
    var best: (token: Int32, votes: Int)?
    var total = 0
    for first in candidates.indices {
      guard let token = token(candidates[first], found.count, found, tokens) else { continue }
      total += 1
      if best?.token == token { continue }
      var votes = 0
      for other in candidates where self.token(other, found.count, found, tokens) == token { votes += 1 }
      if votes > best?.votes ?? 0 { best = (token, votes) }
    }
    return best.map { ($0.token, $0.votes, total) }
  }

  /// The token `offset` behind a candidate's match; nil where its text ends.
  private func token(_ candidate: Candidate, _ offset: Int, _ found: [Int32], _ tokens: Span<Int32>) -> Int32?
  {
    let position = candidate.position + offset
    if candidate.isOwn {
      return position < tokens.count ? tokens[position] : found[position - tokens.count]
    }
    guard position < written, position > written - ring.count else { return nil }
    let token = ring[position & mask]
    return token == Self.separator ? nil : token
  }

  private func collectOwn(_ tokens: Span<Int32>) {
    let count = tokens.count
    guard count > Self.hashed else { return }
    let last = tokens[count - 1]
    var end = count - 1
    while end >= Self.hashed, candidates.count < Self.probes {
      if tokens[end - 1] == last {
        var length = 1
        while length < settings.depth, length < end, tokens[end - 1 - length] == tokens[count - 1 - length] {
          length += 1
        }
        if length >= Self.hashed { candidates.append(Candidate(position: end, length: length, isOwn: true)) }
      }
      end -= 1
    }
  }

  private func collectShared(_ tokens: Span<Int32>) {
    let count = tokens.count
    guard count >= Self.hashed else { return }
    let bucket = Self.hash(tokens[count - 3], tokens[count - 2], tokens[count - 1], mask)
    var position = Int(head[bucket])
    var probes = 0
    // A position whose ring place was written again is older than the ring, and so is all behind it.
    while position >= Self.hashed, position > written - ring.count + settings.depth, probes < Self.probes {
      var length = 0
      while length < settings.depth, length < count, length < position,
        ring[(position - 1 - length) & mask] == tokens[count - 1 - length]
      { length += 1 }
      if length >= Self.hashed, position < written {
        candidates.append(Candidate(position: position, length: length, isOwn: false))
      }
      let next = Int(chain[position & mask])
      if next >= position { break }
      position = next
      probes += 1
    }
  }
}
