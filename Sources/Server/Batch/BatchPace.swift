/// How much of a batch is left, told by the bytes of its lines: the lines themselves are not counted beforehand.
///
/// ```
/// file     | skipped: an earlier run's | other shards' | taken: finished or in work | not read |
/// ```
package struct BatchPace: Sendable, Equatable {
  /// Size of the input; nil where it has none (a pipe).
  package var fileBytes: Int?
  package var readBytes = 0
  /// Of lines that an earlier run had finished.
  package var skippedBytes = 0
  /// Of lines this run took on, and those of them that are finished.
  package var takenBytes = 0
  package var finishedBytes = 0

  package init(fileBytes: Int?) { self.fileBytes = fileBytes }

  /// What is left over what is finished: times the time spent, the time to come. The part of the file that was not
  /// read counts as what was: as much of it falls to this shard, none of it is finished.
  package var leftOverFinished: Double? {
    guard let fileBytes, finishedBytes > 0 else { return nil }
    let share = Double(takenBytes) / Double(max(readBytes - skippedBytes, 1))
    let unread = Double(max(fileBytes - readBytes, 0)) * min(share, 1)
    return (Double(takenBytes - finishedBytes) + unread) / Double(finishedBytes)
  }
}
