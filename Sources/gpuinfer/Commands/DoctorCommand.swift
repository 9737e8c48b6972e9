internal import CPUBackend
internal import Glibc
internal import JSON

/// `gpuinfer doctor`: what this machine can run, and what is missing.
enum DoctorCommand: Command {
  static let specification = CommandSpecification(
    name: "doctor", summary: "Say what can run on this machine, and why not.",
    options: [.flag("--json", "Print one JSON document.")])

  static func run(_ arguments: ParsedArguments) throws {
    let devices: [Device] = [.cpu, .cuda, .simt]
    let sets = InstructionSet.allCases.filter(\.isAvailable)
    let demo = Result { () throws(Failure) in try ModelPath.resolve(nil) }
    if arguments.has("--json") {
      var writer = JSONWriter()
      writer.beginObject()
      writer.member("version", Main.version)
      writer.key("devices")
      writer.beginArray()
      for device in devices {
        writer.beginObject()
        writer.member("name", device.rawValue)
        writer.member("available", device.reasonUnavailable == nil)
        writer.key("reason")
        if let reason = device.reasonUnavailable { writer.string(reason) } else { writer.null() }
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
      Console.write(String(decoding: writer.bytes, as: UTF8.self) + "\n")
      return
    }
    var text = "gpuinfer \(Main.version)\n\nDevices\n"
    text += table(
      devices.map { ($0.rawValue, $0.reasonUnavailable.map { "not available: " + $0 } ?? "available") },
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
      ], leftWidth: 10)
    text += "\nDemo model\n  "
    switch demo {
    case .success(let path): text += path
    case .failure(let failure): text += failure.message
    }
    Console.write(text + "\n")
  }
}
