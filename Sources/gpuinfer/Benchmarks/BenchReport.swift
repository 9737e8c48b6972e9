internal import JSON

/// Named figures with units, as a table or as JSON.
struct BenchReport: Equatable {
  struct Figure: Equatable {
    let name: String
    let value: Double
    let unit: String
  }

  let name: String
  /// What was measured: shapes, devices, counts.
  var setting: [(String, String)] = []
  var figures: [Figure] = []

  init(name: String) { self.name = name }

  static func == (left: BenchReport, right: BenchReport) -> Bool {
    left.name == right.name && left.figures == right.figures
  }

  mutating func add(_ name: String, _ value: Double, _ unit: String) {
    figures.append(Figure(name: name, value: value, unit: unit))
  }

  var text: String {
    var text = "bench \(name)\n" + table(setting, leftWidth: 34)
    text += table(figures.map { ($0.name, "\(Self.readable($0.value)) \($0.unit)") }, leftWidth: 34)
    return text
  }

  var json: String {
    var writer = JSONWriter()
    writer.beginObject()
    writer.member("benchmark", name)
    writer.key("setting")
    writer.beginObject()
    for (key, value) in setting { writer.member(key, value) }
    writer.endObject()
    writer.key("figures")
    writer.beginObject()
    for figure in figures {
      writer.key(figure.name)
      writer.beginObject()
      writer.member("value", figure.value)
      writer.member("unit", figure.unit)
      writer.endObject()
    }
    writer.endObject()
    writer.endObject()
    return String(decoding: writer.bytes, as: UTF8.self) + "\n"
  }

  private static func readable(_ value: Double) -> String {
    fixed(value, abs(value) >= 1000 ? 0 : abs(value) >= 10 ? 1 : 3)
  }
}
