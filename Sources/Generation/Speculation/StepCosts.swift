/// What a step of so many rows takes, learned from the steps themselves.
///
/// Rows in a class of about equal counts share their last measurements; the class's time is the low quartile of those,
/// as others on the machine only ever make a step slower. How fast the machine is at all changes, too, and classes are not
/// measured equally often: times are kept at a common speed, which is what the last measurements were to their classes.
///
/// A class nobody has measured is read off the line between its neighbours, or, outside of all, through all
/// (least squares); with only one measured, all steps are thought to cost the same, which is what makes a speculation
/// worth a first try.
struct StepCosts: Sendable {
  /// The last values.
  private struct Window: Sendable {
    let size: Int
    /// In the order they came, the oldest overwritten first.
    private var values: [Double] = []
    private var next = 0
    private var sorted: [Double] = []

    init(size: Int) { self.size = size }

    var count: Int { values.count }
    /// 0 without values.
    var quartile: Double { sorted.isEmpty ? 0 : sorted[sorted.count / 4] }

    mutating func append(_ value: Double) {
      if values.count < size {
        values.append(value)
      } else {
        if let old = sorted.firstIndex(of: values[next]) { sorted.remove(at: old) }
        values[next] = value
        next = (next + 1) % size
      }
      sorted.insert(value, at: sorted.firstIndex { $0 > value } ?? sorted.count)
    }
  }

  private struct Class: Sendable {
    var rows = 0.0
    /// Seconds at speed 1.
    var seconds = Window(size: 32)
  }
  private var classes: [Class] = []
  /// Measurements over what their classes said.
  private var ratios = Window(size: 16)

  /// What the noise of single measurements explains is no change.
  private var speed: Double {
    let quartile = ratios.quartile
    return ratios.count < 4 || (0.85...1.15).contains(quartile) ? 1 : quartile
  }

  var isEmpty: Bool { classes.allSatisfy { $0.seconds.count == 0 } }

  /// Measurements of a class that are kept.
  func count(rows: Int) -> Int {
    let index = Self.index(rows)
    return index < classes.count ? classes[index].seconds.count : 0
  }

  mutating func observe(rows: Int, seconds: Double) {
    if rows < 1 || !(seconds > 0) || !seconds.isFinite { return }
    let index = Self.index(rows)
    while classes.count <= index { classes.append(Class()) }
    let speed = speed
    // The first of a class may be of a cold machine.
    if classes[index].seconds.count >= 4 { ratios.append(seconds / classes[index].seconds.quartile) }
    classes[index].seconds.append(seconds / speed)
    classes[index].rows = Double(rows)
  }

  /// Seconds; nil before anything was measured.
  func seconds(rows: Int) -> Double? {
    let index = Self.index(rows)
    if index < classes.count, classes[index].seconds.count > 0 {
      return classes[index].seconds.quartile * speed
    }
    let below = classes.prefix(index).last { $0.seconds.count > 0 }
    let above = classes.dropFirst(index + 1).first { $0.seconds.count > 0 }
    if let below, let above {
      let part = (Double(rows) - below.rows) / max(above.rows - below.rows, 1)
      return (below.seconds.quartile + part * (above.seconds.quartile - below.seconds.quartile)) * speed
    }
    return extrapolated(rows).map { $0 * speed }
  }

  private func extrapolated(_ rows: Int) -> Double? {
    var (count, sumX, sumY) = (0.0, 0.0, 0.0)
    for entry in classes where entry.seconds.count > 0 {
      count += 1
      sumX += entry.rows
      sumY += entry.seconds.quartile
    }
    if count == 0 { return nil }
    let (meanX, meanY) = (sumX / count, sumY / count)
    var (covariance, variance) = (0.0, 0.0)
    for entry in classes where entry.seconds.count > 0 {
      covariance += (entry.rows - meanX) * (entry.seconds.quartile - meanY)
      variance += (entry.rows - meanX) * (entry.rows - meanX)
    }
    let slope = variance > 0 ? max(0, covariance / variance) : 0
    return max(meanY + slope * (Double(rows) - meanX), meanY / 16)
  }

  /// One class each up to 16 rows, then steps of about an eighth.
  static func index(_ rows: Int) -> Int {
    if rows <= 16 { return max(rows, 1) - 1 }
    var (index, low) = (16, 16)
    while rows >= low + max(low / 8, 1) {
      low += low / 8
      index += 1
    }
    return index
  }
}
