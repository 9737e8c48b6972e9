package import Scheduling

/// Which layers share a block table, and where each layer's keys and values lie in a block.
///
/// Layers of one kind (all keys, or one window) are dealt to groups of `layers` layers, the last of which may be left with
/// fewer: its blocks have room that nobody uses. Large groups mean few tables, small ones little room lost:
///
/// ```
/// 26 layers, 22 of them with a window        groups of 4:  1 full, 6 windowed, 2 places of 28 lost
/// 24 layers, half of them with a window      groups of 12: 1 full, 1 windowed
/// ```
/// With equal groups any block can serve any group, as in vLLM's hybrid memory allocator.
package struct CacheGroups: Sendable, Equatable {
  /// A layer's table, and its place in that table's blocks.
  struct Place: Sendable, Equatable {
    var group: Int
    var layer: Int
  }

  /// Layers in a block.
  package let layers: Int
  package let groups: KVGroups
  /// By layer.
  let places: [Place]

  /// Of a model's layers the part that may be lost to groups that are not full: 1 in 8.
  private static let lossShare = 8

  package init(_ configuration: ModelConfiguration, _ limits: ModelLimits) {
    let count = configuration.layers.count
    // A policy applies to all layers, and replaces no windows.
    var windows: [Int?] =
      limits.groupsLayers && limits.policy == nil
      ? configuration.layers.map(\.window) : Array(repeating: nil, count: count)
    // A place in a block has one size, whichever group's layer uses it.
    let heads = Set(configuration.layers.indices.map { configuration.keyValueHeads(of: $0) })
    if heads.count > 1, Set(windows).count > 1 { windows = Array(repeating: nil, count: count) }
    var kinds: [(window: Int?, layers: [Int])] = []
    for (layer, window) in windows.enumerated() {
      if let index = kinds.firstIndex(where: { $0.window == window }) {
        kinds[index].layers.append(layer)
      } else {
        kinds.append((window, [layer]))
      }
    }
    // Those that see everything come first; a window's width orders the others.
    kinds.sort { ($0.window.map { $0 + 1 } ?? 0) < ($1.window.map { $0 + 1 } ?? 0) }

    var size = kinds.lazy.map(\.layers.count).max() ?? 1
    func groups(of layers: [Int]) -> Int { (layers.count - 1) / size + 1 }
    while (kinds.reduce(0) { $0 + groups(of: $1.layers) } * size - count) * Self.lossShare > count {
      size -= 1
    }

    var places = Array(repeating: Place(group: 0, layer: 0), count: count)
    var retentions: [KVRetention?] = []
    for kind in kinds {
      for (index, layer) in kind.layers.enumerated() {
        places[layer] = Place(group: retentions.count + index / size, layer: index % size)
      }
      let retention =
        kind.window.map { KVRetention(window: $0) } ?? (limits.groupsLayers ? limits.policy : nil)
      retentions += Array(repeating: retention, count: groups(of: kind.layers))
    }
    self.layers = size
    self.groups = KVGroups(retentions)
    self.places = places
  }
}
