/// Rows of a step that are computed with one adapter.
package struct AdapterRun: Sendable, Equatable {
  package var adapter: Int32
  package var rows: Range<Int>

  package init(adapter: Int32, rows: Range<Int>) {
    self.adapter = adapter
    self.rows = rows
  }
}

/// One step's work, flattened in the order the kernels read it.
///
/// ```
/// sequences    |   A: 3 new tokens   | B: 1 | C: 1 |
/// tokens       |  t5    t6     t7    |  t9  |  t2  |      T = 5
/// positions    |   4     5      6    |  31  |   1  |
/// slots        |  68    69     70    | 111  |  33  |      block · 16 + position mod 16
/// queryStarts  0                     3      4      5      S + 1
/// contextLengths       7                32     2          keys in the cache after the step
/// blockTables  row s: the blocks of sequence s, padded with 0 to `blockTableStride`; any block where no query of the
///              step looks (`KVRetention`)
///
/// with G groups of layers (`KVGroups`)
/// slots        G · T: those of group 0, of group 1 …
/// blockTables  row s: the tables of the groups behind each other, each padded to `blockTableStride`
///
/// logitRows    rows of the flattened tokens whose logits are wanted
/// ```
/// Entries that compute a last token behind their prompt, and maybe drafts behind that, come first (decodes), then the
/// pieces of prompts, single tokens among them.
///
/// Within each layer all keys and values of the step are written to `slots` before any query reads: a
/// sequence may attend to a block that another entry of the same step fills.
///
/// The arrays keep their capacity from step to step, so that planning allocates nothing once warm. Rows of
/// `blockTables` even keep their content, so nobody but the scheduler writes to a plan that is passed to it
/// again.
package struct StepPlan: Sendable {
  package struct Entry: Sendable {
    package var id: SequenceID
    /// First row of this sequence in `tokens`.
    package var tokenStart: Int
    package var tokenCount: Int
    /// Rows of the logits that belong to this sequence.
    package var logitRange: Range<Int>
    /// The step computes the sequence's last known token, so a new one is to be sampled from the last
    /// logits row; with drafts, from the last `draftCount + 1` rows, as far as they go on as drafted.
    package var samples: Bool
    /// Prompt tokens that the prefix cache gave when the sequence was first admitted.
    package var cachedTokens: Int
    /// Of the tokens, guesses at the end that are to be verified.
    package var draftCount: Int
    /// The adapter its rows are computed with; 0 for none.
    package var adapter: Int32

    package init(
      id: SequenceID, tokenStart: Int, tokenCount: Int, logitRange: Range<Int>, samples: Bool,
      cachedTokens: Int = 0, draftCount: Int = 0, adapter: Int32 = 0
    ) {
      self.id = id
      self.tokenStart = tokenStart
      self.tokenCount = tokenCount
      self.logitRange = logitRange
      self.samples = samples
      self.cachedTokens = cachedTokens
      self.draftCount = draftCount
      self.adapter = adapter
    }
  }

  package var entries: [Entry] = []
  /// Sequences at the front that are decodes: devices compute these with a kernel of their own.
  package var decodeCount = 0
  package var tokens: [Int32] = []
  /// Where the step before has not been committed yet: for each decode, the row of that step's logits which its token
  /// is sampled from, or −1 for a token that `tokens` has. Empty otherwise.
  package var tokenSources: [Int32] = []
  package var positions: [Int32] = []
  package var slots: [Int32] = []
  package var queryStarts: [Int32] = []
  package var contextLengths: [Int32] = []
  package var blockTables: [Int32] = []
  package var blockTableStride = 0
  package var groupCount = 1
  package var logitRows: [Int32] = []
  /// The rows that are computed with adapters, each adapter's beside each other among the decodes, and among the
  /// pieces of prompts.
  package var adapterRuns: [AdapterRun] = []
  /// Whose blocks the rows of `blockTables` hold.
  var rowOwners: [RowOwner] = []

  package init() {}

  package var isEmpty: Bool { entries.isEmpty }

  package mutating func removeAll() {
    removeEntries()
    blockTables.removeAll(keepingCapacity: true)
    rowOwners.removeAll(keepingCapacity: true)
  }
}
