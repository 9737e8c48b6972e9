/// What a device found for the rows of a `SamplingBatch`, in their order.
package struct SamplingResults: Sendable, Equatable {
  package struct Entry: Sendable, Equatable {
    package var token: Int32
    package var failure: Failure?
    /// What was asked for; nil too when the row failed.
    package var logprobs: Logprobs?

    package init(token: Int32, failure: Failure?) {
      self.token = token
      self.failure = failure
    }
  }

  package struct Logprobs: Sendable, Equatable {
    package var logprob: Float
    /// 1 is the most likely token.
    package var rank: Int32
    /// Of `tokens` and `logprobs`, best first.
    package var alternatives: Range<Int>

    package init(logprob: Float, rank: Int32, alternatives: Range<Int>) {
      self.logprob = logprob
      self.rank = rank
      self.alternatives = alternatives
    }
  }

  package enum Failure: Sendable, Equatable {
    /// The logit of the entry's token is NaN or +∞.
    case notFinite
    case nothingAllowed
    /// A code that no device of this version gives.
    case unknown(Int32)
  }

  package private(set) var entries: [Entry] = []
  package private(set) var tokens: [Int32] = []
  package private(set) var logprobs: [Float] = []

  package init() {}

  /// With room for all that a step of this capacity can give.
  package init(_ capacity: SamplingCapacity) {
    entries.reserveCapacity(capacity.rows)
    tokens.reserveCapacity(capacity.alternatives)
    logprobs.reserveCapacity(capacity.alternatives)
  }

  package mutating func removeAll() {
    entries.removeAll(keepingCapacity: true)
    tokens.removeAll(keepingCapacity: true)
    logprobs.removeAll(keepingCapacity: true)
  }

  package mutating func append(_ entry: Entry) { entries.append(entry) }

  package mutating func appendAlternative(_ token: Int32, _ logprob: Float) {
    tokens.append(token)
    logprobs.append(logprob)
  }
}
