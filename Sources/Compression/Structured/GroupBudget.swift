/// How many heads or channels each layer keeps when those that contribute least of all layers go.
package enum GroupBudget {
  /// Of channels a multiple of this stays, where there are so many: rows stay aligned to 16 bytes.
  package static let unit = 8

  /// Of a layer at least an eighth, and at least one, stays.
  ///
  /// - Parameters:
  ///   - scores: of each layer's groups, comparable between layers.
  ///   - removed: groups to take out altogether; up to half a `unit` of each layer more or fewer go.
  /// - Throws: where so many cannot go.
  package static func kept(
    _ scores: [[Double]], removing removed: Int, unit: Int = unit, _ what: String
  ) throws(StructuredPruner.Problem) -> [Int] {
    let least = scores.map { Swift.min($0.count, Swift.max(1, $0.count / 8)) }
    var kept = scores.map(\.count)
    guard removed <= zip(kept, least).reduce(0, { $0 + $1.0 - $1.1 }) else {
      throw .nothingLeft(what: "eighth of a layer's \(what)")
    }
    // Of equals the later layer's go first.
    let order = scores.indices.flatMap { layer in scores[layer].map { (score: $0, layer: layer) } }
      .sorted { $0.score != $1.score ? $0.score < $1.score : $0.layer > $1.layer }
    var left = removed
    for entry in order where left > 0 && kept[entry.layer] > least[entry.layer] {
      kept[entry.layer] -= 1
      left -= 1
    }
    return zip(kept, scores).map { rounded($0, of: $1.count, unit: unit) }
  }

  /// The nearest multiple of `unit`, where there are so many.
  package static func rounded(_ count: Int, of all: Int, unit: Int = unit) -> Int {
    guard all >= 8 * unit else { return count }
    return Swift.min((count + unit / 2) / unit * unit, all)
  }
}
