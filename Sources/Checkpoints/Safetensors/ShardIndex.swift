internal import JSON

/// `model.safetensors.index.json`: `{"metadata": {…}, "weight_map": {TENSOR: SHARD FILE}}`.
struct ShardIndex: Sendable, Equatable {
  /// Sorted.
  let shards: [String]
  let shardOfTensor: [String: String]

  init(_ json: JSONValue) throws(ShardIndexError) {
    guard let map = json["weight_map"]?.object, !map.isEmpty else { throw .noWeightMap }
    var shardOfTensor: [String: String] = [:]
    shardOfTensor.reserveCapacity(map.count)
    var shards: Set<String> = []
    for (tensor, value) in map {
      guard let shard = value.string else { throw .shardIsNoText(tensor: tensor) }
      if shards.insert(shard).inserted {
        guard Self.isPlainName(shard) else { throw .badShardName(shard) }
      }
      shardOfTensor[tensor] = shard
    }
    self.shardOfTensor = shardOfTensor
    self.shards = shards.sorted()
  }

  /// True for a file of the directory itself; a hostile index may not reach other files.
  private static func isPlainName(_ name: String) -> Bool {
    let suffix = ".safetensors"
    return name.hasSuffix(suffix) && name.utf8.count > suffix.utf8.count
      && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") || $0 < 0x20 }
  }

  /// Tensors in the order of their names, checked against what each shard really holds.
  ///
  /// A tensor that a shard holds but the index does not list is left out: the index says what the model is.
  func select(
    from headers: [(shard: String, entries: [TensorEntry])]
  ) throws(ShardIndexError) -> [TensorEntry] {
    var found: [String: [String: TensorEntry]] = [:]
    for (shard, entries) in headers {
      found[shard] = [String: TensorEntry](entries.map { ($0.name, $0) }) { first, _ in first }
    }
    var selected: [TensorEntry] = []
    selected.reserveCapacity(shardOfTensor.count)
    for (tensor, shard) in shardOfTensor.sorted(by: { $0.key < $1.key }) {
      guard let entry = found[shard]?[tensor] else {
        let other = shards.first { found[$0]?[tensor] != nil }
        throw .tensorNotInShard(tensor: tensor, shard: shard, foundIn: other)
      }
      selected.append(entry)
    }
    return selected
  }
}
