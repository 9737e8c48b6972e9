internal import Glibc

/// The moment a template calls now, given by the caller so that rendering can be repeated.
package struct TemplateDate: Sendable, Equatable {
  package var year: Int
  /// 1…12
  package var month: Int
  /// 1…31
  package var day: Int
  package var hour: Int
  package var minute: Int
  package var second: Int

  package init(year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0) {
    self.year = year
    self.month = month
    self.day = day
    self.hour = hour
    self.minute = minute
    self.second = second
  }

  /// This machine's local time.
  package static func now() -> TemplateDate {
    var seconds = time(nil)
    var parts = unsafe tm()
    unsafe localtime_r(&seconds, &parts)
    return unsafe TemplateDate(
      year: Int(parts.tm_year) + 1900, month: Int(parts.tm_mon) + 1, day: Int(parts.tm_mday),
      hour: Int(parts.tm_hour), minute: Int(parts.tm_min), second: Int(parts.tm_sec))
  }

  /// What Python's `datetime.strftime` prints; an error for a format with a zero byte.
  func formatted(_ format: String) throws(TemplateProblem) -> String {
    if format.isEmpty { return "" }
    if format.utf8.contains(0) { throw .value("embedded null character") }
    var parts = unsafe tm()
    unsafe parts.tm_year = Int32(clamping: year - 1900)
    unsafe parts.tm_mon = Int32(clamping: month - 1)
    unsafe parts.tm_mday = Int32(clamping: day)
    unsafe parts.tm_hour = Int32(clamping: hour)
    unsafe parts.tm_min = Int32(clamping: minute)
    unsafe parts.tm_sec = Int32(clamping: second)
    // Fills in the days of the week and the year.
    _ = unsafe timegm(&parts)
    var text = [CChar](repeating: 0, count: 64 * format.utf8.count + 64)
    // Python's own directive for microseconds, and the time zone that a local `datetime` does not carry.
    let format = Self.withoutPythonDirectives(format)
    let count = unsafe strftime(&text, text.count, format, &parts)
    return String(decoding: text.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private static func withoutPythonDirectives(_ format: String) -> String {
    var result = ""
    var isDirective = false
    for scalar in format.unicodeScalars {
      if isDirective, scalar == "f" || scalar == "z" || scalar == "Z" {
        result.removeLast()
        if scalar == "f" { result += "000000" }
        isDirective = false
      } else {
        result.unicodeScalars.append(scalar)
        isDirective = !isDirective && scalar == "%"
      }
    }
    return result
  }
}
