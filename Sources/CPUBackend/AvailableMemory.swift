/// What the system says can be had without swapping, file caches that it can drop included.
package enum AvailableMemory {
  /// In bytes: `MemAvailable` of /proc/meminfo, or what the control group of this process leaves (a container with a
  /// limit) where that is less; nil where the system says neither.
  package static var bytes: Int? {
    let system = SystemFile.text("/proc/meminfo")
      .flatMap { SystemFile.number("MemAvailable:", in: $0) }.map { $0 << 10 }
    guard let left = leftInGroup else { return system }
    return min(system ?? left, left)
  }

  /// Control groups version 2; a container sees its own group as the root.
  private static var leftInGroup: Int? {
    guard
      let groups = SystemFile.text("/proc/self/cgroup"),
      let group = groups.split(separator: "\n").first(where: { $0.hasPrefix("0::/") })
    else { return nil }
    let folder = "/sys/fs/cgroup" + group.dropFirst(3) + "/"
    guard
      let limit = SystemFile.text(folder + "memory.max"),
      let used = SystemFile.text(folder + "memory.current"),
      let statistics = SystemFile.text(folder + "memory.stat")
    else { return nil }
    return left(limit: limit, used: used, statistics: statistics)
  }

  /// - Parameters:
  ///   - limit: memory.max, a number or `max`.
  ///   - used: memory.current, with the group's file cache.
  ///   - statistics: memory.stat, whose `file` is that cache.
  /// - Returns: nil where there is no limit.
  package static func left(limit: String, used: String, statistics: String) -> Int? {
    func number(_ text: String) -> Int? { text.split(separator: "\n").first.flatMap { Int($0) } }
    guard let limit = number(limit), let used = number(used) else { return nil }
    return max(0, limit - max(0, used - (SystemFile.number("file", in: statistics) ?? 0)))
  }
}
