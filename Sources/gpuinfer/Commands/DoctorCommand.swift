internal import CPUBackend
internal import Generation
internal import Glibc
internal import JSON
internal import KernelBackend
internal import Numerics

/// `gpuinfer doctor`: what this machine can run, and what is missing.
enum DoctorCommand: Command {
  static let specification = CommandSpecification(
    name: "doctor", summary: "Say what can run on this machine, and why not.",
    options: [.flag("--json", "Print one JSON document.")])

  static func run(_ arguments: ParsedArguments) throws {
    let report = DoctorReport()
    Console.write(arguments.has("--json") ? report.json + "\n" : report.text + "\n")
  }
}

/// What was found on this machine.
struct DoctorReport {
  private struct Finding {
    let device: Device
    let kernels: DeviceKernels?
    /// Why it cannot be used; nil when it can.
    let reason: String?
  }

  private let findings: [Finding]
  private let sets = InstructionSet.allCases.filter(\.isAvailable)
  private let demo = Result { () throws(Failure) in try ModelPath.resolve(nil) }

  init() {
    findings = [Device.cpu, .cuda, .simt].map { device in
      do throws(KernelLibraryError) {
        return Finding(device: device, kernels: try device.kernels(), reason: nil)
      } catch {
        return Finding(device: device, kernels: nil, reason: "\(error)")
      }
    }
  }

  // MARK: Text

  var text: String {
    var text = "gpuinfer \(Main.version)\n\nDevices\n"
    text += table(
      findings.map { ($0.device.rawValue, $0.reason.map { "not available: " + $0 } ?? "available") },
      leftWidth: 8)
    text += "\nProcessor\n"
    text += table(
      [
        ("cores", "\(ProcessorCount.available)"),
        ("kernels", "\(InstructionSet.best.rawValue) (of: \(sets.map(\.rawValue).joined(separator: ", ")))"),
        (
          "bfloat16",
          InstructionSet.best.multipliesBFloat16
            ? "multiplied by the processor (--dtype bfloat16)" : "emulated, slower than float32"
        ),
        ("kv cache", Self.cacheTypes(.cpu).joined(separator: ", ")),
      ], leftWidth: 10)
    for finding in findings {
      if let kernels = finding.kernels { text += describe(kernels, finding.device) }
    }
    text += "\nDemo model\n  "
    switch demo {
    case .success(let path): text += path
    case .failure(let failure): text += failure.message
    }
    return text
  }

  private func describe(_ kernels: DeviceKernels, _ device: Device) -> String {
    let information = kernels.information
    var facts = [
      ("name", information.name),
      ("capability", "\(information.capability / 10).\(information.capability % 10)"),
      (
        "memory",
        "\(readableBytes(information.freeBytes)) free of \(readableBytes(information.memoryBytes))"
      ),
    ]
    facts.append(("kv cache", Self.cacheTypes(device).joined(separator: ", ")))
    if let path = kernels.library.path { facts.append(("library", path)) }
    if let version = information.driverVersion { facts.append(("driver", "CUDA \(version)")) }
    if let version = information.runtimeVersion { facts.append(("runtime", "CUDA \(version)")) }
    facts += information.notes.map { ("note", $0) }
    let variants = kernels.library.variants.map { variant in
      let reason = information.reasonUnavailable(variant)
      return (variant.name, reason.map { "not here: " + $0 } ?? "runs: " + variant.takes)
    }
    return "\nDevice \(device.rawValue)\n" + table(facts, leftWidth: 12)
      + "\nKernels of \(device.rawValue), preferred ones first\n" + table(variants, leftWidth: 22)
      + table([("2:4 against dense", sparseText(kernels))], leftWidth: 22)
      + "  Quantised weights of other forms are widened to 16 bits; 'gpuinfer inspect MODEL' names them.\n"
  }

  /// How 2:4 weights are multiplied, by the figures that choices go by.
  private func sparseText(_ kernels: DeviceKernels) -> String {
    let figures = kernels.library.figures[kernels.information.figures]
    let gains = sparseGains(kernels).map { rows, gain, expands in
      "\(gain) at \(rows) rows" + (expands ? " (written out as a dense matrix)" : "")
    }
    return gains.joined(separator: ", ")
      + ": floors of an \(figures.name), not measured; \(figures.source)"
  }

  private func sparseGains(_ kernels: DeviceKernels) -> [(rows: Int, gain: Double, expands: Bool)] {
    [1, 64, 1024].map { rows in
      let floors = kernels.library.sparseFloors(
        kernels.information.figures, rows: rows, outputs: 4096, inputs: 4096, sparseBits: 9)
      return (rows, (floors.gain * 100).rounded() / 100, floors.expands)
    }
  }

  /// What keys and values can be cached as, with activations of any type.
  private static func cacheTypes(_ device: Device) -> [String] {
    let activations: [DataType] = device == .cpu ? [.float32] : [.bfloat16, .float16]
    var names: [String] = []
    for activation in activations {
      let profile = DeviceProfile(name: device.rawValue, activationType: activation, availableBytes: nil)
      names += profile.cacheTypes.map(\.cacheName).filter { !names.contains($0) }
    }
    return names
  }

  // MARK: JSON

  var json: String {
    var writer = JSONWriter()
    writer.beginObject()
    writer.member("version", Main.version)
    writer.key("devices")
    writer.beginArray()
    for finding in findings {
      writer.beginObject()
      writer.member("name", finding.device.rawValue)
      writer.member("available", finding.reason == nil)
      writer.key("reason")
      if let reason = finding.reason { writer.string(reason) } else { writer.null() }
      writer.key("kv_cache_dtypes")
      writer.beginArray()
      for name in Self.cacheTypes(finding.device) { writer.string(name) }
      writer.endArray()
      if let kernels = finding.kernels { write(kernels, to: &writer) }
      writer.endObject()
    }
    writer.endArray()
    writer.key("cpu")
    writer.beginObject()
    writer.member("cores", ProcessorCount.available)
    writer.key("instruction_sets")
    writer.beginArray()
    for set in sets { writer.string(set.rawValue) }
    writer.endArray()
    writer.member("used", InstructionSet.best.rawValue)
    writer.member("multiplies_bfloat16", InstructionSet.best.multipliesBFloat16)
    writer.endObject()
    writer.key("demo_model")
    if case .success(let path) = demo { writer.string(path) } else { writer.null() }
    writer.endObject()
    return String(decoding: writer.bytes, as: UTF8.self)
  }

  private func write(_ kernels: DeviceKernels, to writer: inout JSONWriter) {
    let information = kernels.information
    writer.member("device", information.name)
    writer.member("capability", information.capability)
    writer.member("memory_bytes", information.memoryBytes)
    writer.member("free_bytes", information.freeBytes)
    for (key, value) in [
      ("library", kernels.library.path), ("driver", information.driverVersion),
      ("runtime", information.runtimeVersion),
    ] {
      if let value { writer.member(key, value) }
    }
    writer.key("notes")
    writer.beginArray()
    for note in information.notes { writer.string(note) }
    writer.endArray()
    writer.key("sparse_2_4")
    writer.beginObject()
    let figures = kernels.library.figures[information.figures]
    writer.member("figures", figures.name)
    writer.member("source", figures.source)
    writer.key("gains")
    writer.beginArray()
    for (rows, gain, expands) in sparseGains(kernels) {
      writer.beginObject()
      writer.member("rows", rows)
      writer.member("gain", gain)
      writer.member("written_out", expands)
      writer.endObject()
    }
    writer.endArray()
    writer.endObject()
    writer.key("variants")
    writer.beginArray()
    for variant in kernels.library.variants {
      let reason = information.reasonUnavailable(variant)
      writer.beginObject()
      writer.member("name", variant.name)
      writer.member("operation", variant.operation.rawValue)
      writer.member("takes", variant.takes)
      writer.member("runs", reason == nil)
      if let reason { writer.member("reason", reason) }
      writer.endObject()
    }
    writer.endArray()
  }
}
