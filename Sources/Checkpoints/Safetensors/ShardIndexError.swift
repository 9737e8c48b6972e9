/// What is wrong with `model.safetensors.index.json`, or with a shard it names.
package enum ShardIndexError: Error, Equatable, Sendable {
  case noWeightMap
  case shardIsNoText(tensor: String)
  /// A name that leads out of the directory, or is no safetensors file.
  case badShardName(String)
  case shardMissing(String)
  case tensorNotInShard(tensor: String, shard: String, foundIn: String?)
}

extension ShardIndexError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .noWeightMap:
      "\"weight_map\" must be an object that gives each tensor's file, and not empty"
    case .shardIsNoText(let tensor):
      "\"weight_map\": the file of tensor \(tensor) must be a text"
    case .badShardName(let name):
      "\"weight_map\": \"\(name)\" is not the name of a .safetensors file in the same directory"
    case .shardMissing(let name):
      "the shard \(name) is not in the directory; download it"
    case .tensorNotInShard(let tensor, let shard, let other?):
      "tensor \(tensor) should be in \(shard), but is in \(other)"
    case .tensorNotInShard(let tensor, let shard, nil):
      "tensor \(tensor) should be in \(shard), but is in no shard; index and shards belong to different models"
    }
  }
}
