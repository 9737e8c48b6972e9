internal import Glibc

/// A number with a fixed count of decimals.
func fixed(_ value: Double, _ decimals: Int) -> String {
  guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
  let scale = pow(10, Double(decimals))
  let scaled = Int((abs(value) * scale).rounded())
  let sign = value < 0 && scaled != 0 ? "-" : ""
  guard decimals > 0 else { return "\(sign)\(scaled)" }
  let fraction = String(scaled % Int(scale))
  return sign + "\(scaled / Int(scale))." + String(repeating: "0", count: decimals - fraction.count)
    + fraction
}

/// A count of bytes in the unit that keeps it short.
func readableBytes(_ bytes: Int) -> String {
  let value = Double(bytes)
  switch bytes {
  case ..<1024: return "\(bytes) B"
  case ..<(1 << 20): return fixed(value / 1024, 1) + " KiB"
  case ..<(1 << 30): return fixed(value / Double(1 << 20), 1) + " MiB"
  default: return fixed(value / Double(1 << 30), 2) + " GiB"
  }
}
