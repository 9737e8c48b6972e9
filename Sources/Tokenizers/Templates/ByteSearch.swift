extension Span<UInt8> {
  /// Where `pattern` occurs first at or behind `start`, in time linear in both lengths whatever they hold:
  /// both may come from somebody who wants to waste our time.
  func firstPlace(of pattern: Span<UInt8>, from start: Int) -> Int? {
    guard start >= 0, start <= count, pattern.count <= count - start else { return nil }
    if pattern.isEmpty { return start }
    return pattern.count <= 16 ? searchShort(pattern, start) : searchLong(pattern, start)
  }

  private func searchShort(_ pattern: Span<UInt8>, _ start: Int) -> Int? {
    let first = pattern[0]
    for place in start...(count - pattern.count) where self[place] == first {
      var matched = 1
      while matched < pattern.count, self[place + matched] == pattern[matched] { matched += 1 }
      if matched == pattern.count { return place }
    }
    return nil
  }

  /// Knuth, Morris, Pratt 1977.
  private func searchLong(_ pattern: Span<UInt8>, _ start: Int) -> Int? {
    // borders[i]: the length of the longest proper prefix of the pattern's first i + 1 bytes that ends them.
    var borders = [Int](repeating: 0, count: pattern.count)
    var length = 0
    for index in 1..<pattern.count {
      while length > 0, pattern[index] != pattern[length] { length = borders[length - 1] }
      if pattern[index] == pattern[length] { length += 1 }
      borders[index] = length
    }
    var matched = 0
    for place in start..<count {
      while matched > 0, self[place] != pattern[matched] { matched = borders[matched - 1] }
      if self[place] == pattern[matched] { matched += 1 }
      if matched == pattern.count { return place - matched + 1 }
    }
    return nil
  }
}

extension [UInt8] {
  func firstPlace(of pattern: [UInt8], from start: Int) -> Int? {
    span.firstPlace(of: pattern.span, from: start)
  }
}
