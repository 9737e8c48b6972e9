import Glibc
import TestSupport
import Testing

@testable import Scheduling

/// A plan that contradicts what a sequence's tokens say, found by `FakeModel`.
struct PlanFault: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}

/// What a test knows about a sequence on its own account: every token it ever had.
final class History {
  private(set) var tokens: [Int32] = []
  /// `prefixes[p]` stands for the tokens `0 ... p` and the salt; equal only for equal histories.
  private(set) var prefixes: [UInt64] = []
  let promptCount: Int
  private var last: UInt64

  init(prompt: [Int32], salt: String?) {
    promptCount = prompt.count
    last = 0x9e37_79b9_7f4a_7c15
    for byte in (salt ?? "").utf8 { mix(UInt64(byte) + 1 << 40) }
    if salt != nil { mix(1 << 50) }
    tokens.reserveCapacity(prompt.count + 64)
    for token in prompt { append(token) }
  }

  func append(_ token: Int32) {
    tokens.append(token)
    mix(UInt64(UInt32(bitPattern: token)))
    prefixes.append(last)
  }

  /// Tokens and prefixes as they would be with `more` appended.
  func extended(by more: ArraySlice<Int32>) -> (tokens: [Int32], prefixes: [UInt64]) {
    if more.isEmpty { return (tokens, prefixes) }
    let copy = History(self)
    for token in more { copy.append(token) }
    return (copy.tokens, copy.prefixes)
  }

  private init(_ other: History) {
    tokens = other.tokens
    promptCount = other.promptCount
    prefixes = other.prefixes
    last = other.last
  }

  private func mix(_ value: UInt64) {
    last = (last ^ value) &* 0xbf58_476d_1ce4_e5b9
    last ^= last >> 29
  }
}

/// A model that computes nothing but remembers, for each KV slot, whose prefix was written there. It runs a
/// plan as the kernels do (all writes, then all reads) and demands that each entry finds exactly its own
/// history under every context position. Sharing a wrong block, reusing one too early or losing one shows
/// up as a foreign prefix. Each group of layers writes its own values.
struct FakeModel {
  /// By group: a slot that another group wrote to holds nothing for this one.
  private(set) var memory: [[UInt64]]
  let blockSize = KVBlockPool.blockSize
  let groups: KVGroups

  init(_ configuration: SchedulerConfiguration) {
    groups = configuration.groups
    memory = Array(
      repeating: Array(repeating: 0, count: configuration.blockCount * 16), count: configuration.groups.count)
  }

  /// A step that failed may have written anything.
  mutating func spoil(_ slots: [Int32]) {
    for group in memory.indices {
      for slot in slots { memory[group][Int(slot)] = 0xdead }
    }
  }

  mutating func run(_ plan: StepPlan, histories: (SequenceID) -> History?) throws {
    try checkShape(plan)
    var written = Set<Int32>()
    for (row, entry) in plan.entries.enumerated() {
      guard let history = histories(entry.id) else { throw PlanFault("\(entry.id) is not alive") }
      let end = Int(plan.contextLengths[row])
      let start = end - entry.tokenCount
      if start < 0 || end - entry.draftCount > history.tokens.count {
        throw PlanFault("\(entry.id): context \(end) out of range")
      }
      // What was sampled is a decode, and no token of a prompt is, however it was cut.
      let isDecode = start >= history.promptCount && end - entry.draftCount == history.tokens.count
      if (row < plan.decodeCount) != (isDecode && entry.tokenCount - entry.draftCount == 1) {
        throw PlanFault("\(entry.id): is entry \(row) of \(plan.decodeCount) decodes")
      }
      let drafts = plan.tokens[..<(entry.tokenStart + entry.tokenCount)].suffix(entry.draftCount)
      let (tokens, prefixes) = history.extended(by: drafts)
      for offset in 0..<entry.tokenCount {
        let position = start + offset
        let flat = entry.tokenStart + offset
        if plan.positions[flat] != position || plan.tokens[flat] != tokens[position] {
          throw PlanFault("\(entry.id): wrong token or position at position \(position)")
        }
        for group in 0..<groups.count {
          let table = (row * groups.count + group) * plan.blockTableStride
          let slot = plan.slots[group * plan.tokens.count + flat]
          if slot != plan.blockTables[table + position / blockSize] * 16 + Int32(position % blockSize) {
            throw PlanFault("\(entry.id): wrong slot at position \(position) of group \(group)")
          }
          if !written.insert(slot).inserted { throw PlanFault("slot \(slot) is written twice in a step") }
          for other in 0..<groups.count { memory[other][Int(slot)] = other == group ? prefixes[position] : 0 }
        }
      }
    }
    for (row, entry) in plan.entries.enumerated() {
      guard let history = histories(entry.id) else { continue }
      for group in 0..<groups.count { try attend(plan, row, group, history, entry.id) }
    }
  }

  private func attend(
    _ plan: StepPlan, _ row: Int, _ group: Int, _ history: History, _ id: SequenceID
  ) throws {
    let context = Int(plan.contextLengths[row])
    let known = context - plan.entries[row].draftCount
    let base = (row * groups.count + group) * plan.blockTableStride
    let first = context - plan.entries[row].tokenCount
    let agrees = unsafe memory[group].withUnsafeBufferPointer { memory in
      unsafe history.prefixes.withUnsafeBufferPointer { prefixes in
        guard let memory = memory.baseAddress, let prefixes = prefixes.baseAddress else { return false }
        var position = 0
        while position < known {
          let slot = Int(plan.blockTables[base + position / 16]) * 16
          let count = min(16, known - position)
          if groups.gap(group, at: first).contains(position / 16) {
            position += 16
            continue
          }
          if unsafe memcmp(memory + slot, prefixes + position, count * 8) != 0 { return false }
          position += 16
        }
        return true
      }
    }
    if !agrees { throw PlanFault("\(id): the context of \(context) tokens is not this sequence's") }
    let blocks = (context + 15) / 16
    for index in blocks..<max(blocks, plan.blockTableStride) where plan.blockTables[base + index] != 0 {
      throw PlanFault("row \(row) is not padded with zeros")
    }
  }

  private func checkShape(_ plan: StepPlan) throws {
    let rows = plan.entries.count
    var tokens = 0
    var logits = 0
    for (row, entry) in plan.entries.enumerated() {
      if plan.queryStarts[row] != tokens || entry.tokenStart != tokens || entry.tokenCount < 1 {
        throw PlanFault("entry \(row) does not start at row \(tokens)")
      }
      if entry.logitRange.lowerBound != logits { throw PlanFault("entry \(row): wrong logit range") }
      for row in entry.logitRange {
        let flat = Int(plan.logitRows[row])
        if flat < tokens || flat >= tokens + entry.tokenCount {
          throw PlanFault("logit row \(row) is foreign")
        }
      }
      let last = entry.logitRange.last.map { Int(plan.logitRows[$0]) }
      if entry.samples && last != tokens + entry.tokenCount - 1 {
        throw PlanFault("entry \(row) samples without its last logits row")
      }
      if entry.draftCount > 0 && (!entry.samples || entry.logitRange.count != entry.draftCount + 1) {
        throw PlanFault("entry \(row) does not verify its drafts")
      }
      let known = entry.tokenCount - entry.draftCount
      if row < plan.decodeCount && (known != 1 || !entry.samples) {
        throw PlanFault("entry \(row) is a piece of a prompt among the decodes")
      }
      if row >= plan.decodeCount && entry.draftCount > 0 {
        throw PlanFault("entry \(row) verifies drafts and is no decode")
      }
      tokens += entry.tokenCount
      logits = entry.logitRange.upperBound
    }
    let counts = [plan.tokens.count, plan.positions.count, plan.slots.count]
    if counts != [tokens, tokens, tokens * groups.count] || plan.logitRows.count != logits
      || plan.queryStarts.last != Int32(tokens) || plan.queryStarts.count != rows + 1
      || plan.contextLengths.count != rows
      || plan.blockTables.count != rows * groups.count * plan.blockTableStride
    {
      throw PlanFault("arrays of different lengths")
    }
  }
}

extension SeededGenerator {
  mutating func below(_ bound: Int) -> Int { Int(truncatingIfNeeded: next() % UInt64(bound)) }
  mutating func chance(_ numerator: Int, in denominator: Int) -> Bool { below(denominator) < numerator }
}

extension KVGroups {
  /// One group with a window and maybe sinks, or up to four groups, each with a window or none.
  static func random(_ random: inout SeededGenerator) -> KVGroups {
    if random.chance(1, in: 2) {
      return KVGroups([
        KVRetention(sinks: random.chance(1, in: 2) ? 0 : random.below(40), window: 1 + random.below(100))
      ])
    }
    return KVGroups(
      (0..<2 + random.below(3)).map { _ in
        random.chance(1, in: 3) ? nil : KVRetention(window: 1 + random.below(100))
      })
  }
}
