package struct BatchOptions: Sendable {
  /// Requests in the engine at once; its scheduler decides how many of them run.
  package var concurrency = 64
  /// Which lines are this process's part: those whose number (from 0) leaves `index` when divided by `count`.
  package var shard = Shard(index: 0, count: 1)
  /// When to stop as if cancelled, in Unix seconds; nil never does.
  package var deadline: Int?
  /// Longer lines get an error line instead of being read into memory.
  package var maximumLineBytes = 64 << 20

  package struct Shard: Sendable, Equatable {
    package var index: Int
    package var count: Int

    package init(index: Int, count: Int) {
      self.index = index
      self.count = count
    }
  }

  package init() {}
}

package struct BatchReport: Sendable, Equatable {
  /// Lines answered by this run.
  package var completed = 0
  /// Lines that got an error by this run.
  package var failed = 0
  /// Lines that an earlier run had finished.
  package var skipped = 0
  /// The run was cancelled; started again it goes on where it stopped.
  package var isCancelled = false

  package init() {}
}

package enum BatchError: Error, Equatable, Sendable, CustomStringConvertible {
  case cannotOpen(path: String, reason: String)
  case cannotRead(path: String, reason: String)
  case cannotWrite(path: String, reason: String)
  /// Another process appends to the output.
  case outputInUse(path: String)
  /// The output holds something else than a batch's lines.
  case foreignOutput(path: String, line: Int, reason: String)
  case engineStopped(String)
  case invalidShard(BatchOptions.Shard)

  package var description: String {
    switch self {
    case .cannotOpen(let path, let reason): "cannot open '\(path)': \(reason)"
    case .cannotRead(let path, let reason): "cannot read '\(path)': \(reason)"
    case .cannotWrite(let path, let reason):
      "cannot write '\(path)': \(reason); what was written counts, run the same command again to go on"
    case .outputInUse(let path):
      "'\(path)' is being written by another batch run; give each run its own --output"
    case .foreignOutput(let path, let line, let reason):
      "'\(path)' line \(line) is not a line of a batch output (\(reason)); give another --output"
    case .engineStopped(let reason): "the engine stopped: \(reason); run the same command again to go on"
    case .invalidShard(let shard): "shard \(shard.index) of \(shard.count) does not exist"
    }
  }
}
