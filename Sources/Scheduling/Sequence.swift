/// Where a sequence stands. Only these moves exist; any other one traps:
///
/// ```
/// waiting ──→ running ⇄ preempted
///    │           │          │
///    └───────→ finished ←───┘
/// ```
package enum SequenceState: Sendable, Equatable {
  /// Not started; holds no memory.
  case waiting
  /// Leases blocks; a step may carry it.
  case running
  /// Gave its blocks back for others; starts over from its tokens, and from what the cache still has of them.
  case preempted
  case finished(EndReason)

  package func canMove(to next: SequenceState) -> Bool {
    switch (self, next) {
    case (.waiting, .running), (.running, .preempted), (.preempted, .running): true
    case (.finished, _): false
    case (_, .finished): true
    default: false
    }
  }
}

extension Scheduler {
  /// One choice of one request: its tokens, and how much of them the KV memory holds.
  ///
  /// ```
  /// tokens    | prompt …………………………………………… | sampled …… |
  ///           0        computed   computed + scheduled   count ≤ limit
  ///           └ in KV ─┘└─ in the step ───┘
  ///
  /// a decode with drafts:
  /// tokens    | prompt ……………… | sampled ……………… | drafts … |
  ///           0                      computed ─┘└ 1 ┘└ scheduledDrafts ┘
  /// ```
  struct Sequence {
    let id: SequenceID
    let key: QueueKey
    let promptCount: Int
    /// Count of tokens at which the sequence ends.
    let limit: Int
    let rootDigest: BlockDigest
    let adapter: Int32

    private(set) var state = SequenceState.waiting
    var isCancelled = false

    /// Before `isPrepared` the request's own array; afterwards a buffer with room for `limit` tokens.
    var tokens: [Int32]
    /// Digests of the first full blocks, as far as they were needed yet.
    var digests: [BlockDigest] = []
    /// One a group of layers, all of the same count; empty before `isPrepared`.
    var tables: [BlockTable] = []
    var isPrepared = false
    /// Counts the rebuildings of `tables`: the blocks a plan wrote down stay true within one generation.
    var tableGeneration: UInt32 = 0

    var computed = 0
    /// Tokens the step under way computes, drafts included; 0 between steps.
    var scheduled = 0
    /// How `tokens` may go on, for the next step to verify; empty most of the time.
    var drafts: [Int32] = []
    /// Of `scheduled`, the drafts at its end.
    var scheduledDrafts = 0
    /// Blocks from the start of `tables` that went through `KVBlockPool.publish` or came from the cache; set
    /// with each admission.
    var publishedBlocks = 0
    /// Tokens found in the cache at the first admission; nil before.
    var cachedTokens: Int?

    /// Carried by a step that was counted in advance and has not been committed; see `Scheduler.presume`.
    var isPresumed = false
    /// That step ends it, unless it fails.
    var endsPresumed = false
    /// The last of `tokens` stands for one that this step samples and nobody knows yet.
    var isUnconfirmed = false
    /// The row of that step's logits which it is sampled from.
    var sampledRow: Int32 = -1

    var wantsPromptLogits: Bool
    var wantsPromptStates: Bool
    /// Prompt positions whose logits or states were computed in committed steps.
    var promptRowsDone = 0

    /// Slots of the request's choices that wait for this one's prompt: a chain through `nextFollower`, -1
    /// for none.
    var firstFollower = -1
    var nextFollower = -1
    /// The choice whose chain this one is in, -1 for none.
    var leader = -1

    init(
      id: SequenceID, key: QueueKey, tokens: [Int32], limit: Int, rootDigest: BlockDigest,
      adapter: Int32 = 0, wantsPromptLogits: Bool,
      wantsPromptStates: Bool = false
    ) {
      self.id = id
      self.key = key
      self.tokens = tokens
      promptCount = tokens.count
      self.limit = limit
      self.rootDigest = rootDigest
      self.adapter = adapter
      self.wantsPromptLogits = wantsPromptLogits
      self.wantsPromptStates = wantsPromptStates
    }

    /// Places in each of `tables`.
    var placeCount: Int { tables.first?.count ?? 0 }
    /// Every prompt position must be computed once, whatever the cache holds.
    var wantsPromptRows: Bool { wantsPromptLogits || wantsPromptStates }
    /// Tokens whose keys and values are not computed yet.
    var remaining: Int { tokens.count - computed }
    /// A sequence that only has its prompt computed (`maxNewTokens` 0) samples nothing.
    var samples: Bool { tokens.count < limit }
    /// Tokens in KV memory or on their way there that the sequence is known to have.
    var known: Int { min(computed + scheduled - scheduledDrafts, tokens.count - (isUnconfirmed ? 1 : 0)) }
    /// Its next token to compute is one that was sampled.
    var isBehindPrompt: Bool { computed >= promptCount }
    /// Lacks only its last token, which was sampled: the next step gives it a new one.
    var decodes: Bool { state == .running && remaining == 1 && samples && isBehindPrompt }

    /// Ends the step under way, which computed `count` tokens that are the sequence's own.
    mutating func advance(by count: Int) {
      computed += count
      scheduled = 0
      scheduledDrafts = 0
      if wantsPromptRows { promptRowsDone = max(promptRowsDone, min(computed, promptCount - 1)) }
    }

    mutating func move(to next: SequenceState) {
      precondition(state.canMove(to: next), "sequence \(id.serial) cannot go from \(state) to \(next)")
      state = next
    }
  }
}
