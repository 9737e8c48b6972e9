internal import JSON
internal import Numerics

/// Hugging Face's names and orders turned into llama.cpp's: the tables of the architectures read backwards.
struct GGUFTensorMap {
  struct Place {
    let name: String
    let layout: GGUFArchitecture.Layout
    let isWeight: Bool
  }

  let architecture: GGUFArchitecture
  private let stems: [String: (stem: String, layout: GGUFArchitecture.Layout)]

  init(_ architecture: GGUFArchitecture) {
    self.architecture = architecture
    var stems: [String: (stem: String, layout: GGUFArchitecture.Layout)] = [:]
    for (stem, rule) in architecture.tensors { stems[rule.name] = (stem, rule.layout) }
    self.stems = stems
  }

  /// nil for a tensor llama.cpp has no place for.
  func place(of name: String) -> Place? {
    var parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard let kind = parts.popLast(), kind == "weight" || kind == "bias" else { return nil }
    var layer: String?
    if let index = parts.firstIndex(where: { Int($0) != nil }) {
      layer = parts[index]
      parts[index] = "#"
    }
    let module = parts.joined(separator: ".")
    // Old exporters leave the first component away.
    let candidates = [module, "model." + module, "transformer." + module]
    guard let found = candidates.lazy.compactMap({ stems[$0] }).first else { return nil }
    let stem = layer.map { layer in
      found.stem.split(separator: "#", omittingEmptySubsequences: false).joined(separator: layer)
    }
    return Place(name: (stem ?? found.stem) + "." + kind, layout: found.layout, isWeight: kind == "weight")
  }

  /// Where row `r` of the GGUF tensor comes from; nil where rows keep their place.
  static func rowOrder(
    _ layout: GGUFArchitecture.Layout, rows: Int, heads: Int, keyValueHeads: Int
  ) -> [Int]? {
    switch layout {
    case .same, .transposedWeight: return nil
    case .queryRows, .keyRows:
      let heads = layout == .queryRows ? heads : keyValueHeads
      let size = rows / heads
      // Halves (i, i + d/2) become neighbours (2i, 2i + 1).
      return (0..<rows).map { row in
        let (head, place) = row.quotientAndRemainder(dividingBy: size)
        return head * size + place % 2 * (size / 2) + place / 2
      }
    case .fusedHeads:
      let size = rows / heads / 3
      return (0..<rows).map { row in
        let (part, rest) = row.quotientAndRemainder(dividingBy: heads * size)
        let (head, place) = rest.quotientAndRemainder(dividingBy: size)
        return (head * 3 + part) * size + place
      }
    }
  }
}
