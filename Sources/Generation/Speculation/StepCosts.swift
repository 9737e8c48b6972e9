/// What a step of so many rows takes, learned from the steps themselves.
///
/// Rows in a class of about equal counts share a smoothed time. A class nobody has measured is read off the line
/// through those that were (least squares); with only one measured, all steps are thought to cost the same, which
/// is what makes a speculation worth a first try.
struct StepCosts: Sendable {
  private struct Class: Sendable {
    var rows = 0.0
    var seconds = 0.0
    var count = 0
  }
  private var classes: [Class] = []

  /// A new measurement's weight against the smoothed time.
  private static let weight = 0.2
  /// How far one measurement may lie from the time before to be believed: others use the machine too.
  private static let outlier = 3.0

  var isEmpty: Bool { classes.allSatisfy { $0.count == 0 } }

  mutating func observe(rows: Int, seconds: Double) {
    if rows < 1 || !(seconds > 0) { return }
    let index = Self.index(rows)
    while classes.count <= index { classes.append(Class()) }
    if classes[index].count == 0 {
      classes[index] = Class(rows: Double(rows), seconds: seconds, count: 1)
      return
    }
    // The first measurements may be of a cold machine: they are replaced faster than later ones are.
    let weight = max(Self.weight, 1 / Double(classes[index].count + 1))
    let old = classes[index].seconds
    let bounded = classes[index].count < 3 ? seconds : min(seconds, Self.outlier * old)
    classes[index].seconds += weight * (bounded - old)
    classes[index].rows += weight * (Double(rows) - classes[index].rows)
    classes[index].count += 1
  }

  /// Seconds; nil before anything was measured.
  func seconds(rows: Int) -> Double? {
    let index = Self.index(rows)
    if index < classes.count, classes[index].count > 0 { return classes[index].seconds }
    var (count, sumX, sumY) = (0.0, 0.0, 0.0)
    for entry in classes where entry.count > 0 {
      count += 1
      sumX += entry.rows
      sumY += entry.seconds
    }
    if count == 0 { return nil }
    let (meanX, meanY) = (sumX / count, sumY / count)
    var (covariance, variance) = (0.0, 0.0)
    for entry in classes where entry.count > 0 {
      covariance += (entry.rows - meanX) * (entry.seconds - meanY)
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
