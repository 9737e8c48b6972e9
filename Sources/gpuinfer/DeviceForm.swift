internal import Checkpoints
internal import Compute
internal import JSON
internal import KernelBackend

/// How the kernels of a device keep the quantised weights that a checkpoint stores in one form.
struct DeviceForm {
  /// "int4 in groups of 128".
  let stored: String
  let layers: Int
  /// Why they are widened to 16 bits; nil where they stay as they are.
  let widening: String?
  /// The same on the oldest devices that there are kernels for.
  let wideningOnOldest: String?

  /// Reads one layer of each form: the others differ in their sizes only.
  static func forms(
    of modules: [String], _ checkpoint: Checkpoint
  ) throws(CheckpointError) -> [DeviceForm] {
    var layers: [String: Int] = [:]
    var first: [(key: String, linear: QuantizedLinear)] = []
    for module in modules {
      guard let linear = try checkpoint.linear(module) else { continue }
      let key = "\(linear.scheme)"
      if layers[key, default: 0] == 0 { first.append((key, linear)) }
      layers[key, default: 0] += 1
    }
    var forms: [DeviceForm] = []
    for (key, linear) in first {
      let store = try checkpoint.store(of: linear)
      forms.append(
        DeviceForm(
          stored: store.summary, layers: layers[key] ?? 0, widening: KernelBackend.widening(of: store),
          wideningOnOldest: KernelBackend.widening(of: store, capability: 80)))
    }
    return forms
  }

  var text: String {
    let fate: String
    if let widening {
      fate = "widened to 16 bits: \(widening)"
    } else {
      fate = "multiplied as they are" + (wideningOnOldest.map { ", or widened to 16 bits: \($0)" } ?? "")
    }
    return "\(layers) layers of \(stored): \(fate)"
  }

  var json: JSONValue {
    [
      "stored": .string(stored), "layers": .integer(Int64(layers)), "widened": .bool(widening != nil),
      "reason": widening.map { .string($0) } ?? .null,
      "reason_on_older_devices": wideningOnOldest.map { .string($0) } ?? .null,
    ]
  }
}
