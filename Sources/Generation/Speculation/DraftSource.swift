package import Compute
package import Scheduling

/// Guesses how sequences go on. It belongs to the engine's thread.
///
/// A guess never changes what is generated, only how fast: the engine verifies every token.
package protocol DraftSource: AnyObject {
  /// Proposing costs steps of a model, so the length is decided before; otherwise after, by what was found.
  var costsSteps: Bool { get }

  /// Tokens of a sequence that a model would have to read before its first guess, beside the last one.
  func unread(_ id: SequenceID, _ scheduler: borrowing Scheduler) -> Int

  /// Adds proposals for the batch's subjects, at most `limit` tokens for each.
  ///
  /// - Throws: the source cannot go on, and the engine with it.
  func propose(_ batch: inout DraftBatch, _ scheduler: borrowing Scheduler) throws(KernelError)

  /// A token of a sequence that is final. `isShared` says that other requests may learn from it.
  func observe(_ id: SequenceID, token: Int32, isShared: Bool)

  /// The sequence is over.
  func forget(_ id: SequenceID)
}

extension DraftSource {
  package func unread(_ id: SequenceID, _ scheduler: borrowing Scheduler) -> Int { 0 }
}

/// A step of a model that drafts.
package struct DraftStep: Sendable {
  package var rows: Int
  package var seconds: Double
}

/// The sequences of one round of proposals, and what was proposed.
package struct DraftBatch {
  package struct Subject {
    package var id: SequenceID
    /// Drafts wanted at most.
    package var limit: Int
    /// The sequence's settings and random numbers: a draft model that draws with the same noise as its target
    /// agrees with it most often.
    package var sampling: SamplingState
    /// Its cached tokens may serve other requests.
    package var isShared: Bool
    /// Tokens that speak for the proposal, such as those of a match; 0 where the source does not say.
    package fileprivate(set) var evidence = 0
    /// Of `tokens`.
    package fileprivate(set) var range = 0..<0
  }

  package private(set) var subjects: [Subject] = []
  package private(set) var tokens: [Int32] = []
  /// What the proposals took, where a model made them.
  package private(set) var steps: [DraftStep] = []

  package init() {}

  package mutating func removeAll() {
    subjects.removeAll(keepingCapacity: true)
    tokens.removeAll(keepingCapacity: true)
    steps.removeAll(keepingCapacity: true)
  }

  package mutating func note(_ step: DraftStep) { steps.append(step) }

  package mutating func add(_ subject: Subject) { subjects.append(subject) }

  package func drafts(of index: Int) -> ArraySlice<Int32> { tokens[subjects[index].range] }

  /// Sets the proposal of one subject, once.
  package mutating func propose(_ drafts: some Collection<Int32>, for index: Int, evidence: Int = 0) {
    subjects[index].evidence = evidence
    let start = tokens.count
    tokens.append(contentsOf: drafts.prefix(subjects[index].limit))
    subjects[index].range = start..<tokens.count
  }

  /// Limits every subject, what it was proposed included.
  mutating func limit(to length: Int) {
    for index in subjects.indices {
      subjects[index].limit = min(subjects[index].limit, length)
      subjects[index].range = subjects[index].range.prefix(length)
    }
  }
}
