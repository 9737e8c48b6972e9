internal import Glibc

/// Finds the model a command is about.
enum ModelPath {
  /// The first positional argument, else the bundled demo model.
  static func resolve(_ argument: String?) throws(Failure) -> String {
    if let argument { return argument }
    for candidate in demoCandidates where exists(candidate + "/config.json") { return candidate }
    throw Failure(
      .inputNotFound,
      "no MODEL was given and the bundled demo model was not found (looked in \(demoCandidates.joined(separator: ", ")));"
        + " name a model directory or set GPUINFER_DEMO_MODEL")
  }

  /// In order: the environment's word, the package layout (`bin/` beside `share/`), and the source tree that the
  /// binary was built in.
  private static var demoCandidates: [String] {
    var candidates: [String] = []
    if let named = unsafe getenv("GPUINFER_DEMO_MODEL") { candidates.append(unsafe String(cString: named)) }
    guard var folder = executableFolder else { return candidates }
    candidates.append(folder + "/../share/gpuinfer/demo")
    while folder.count > 1, let slash = folder.lastIndex(of: "/") {
      folder = String(folder[..<slash])
      if exists(folder + "/Package.swift") {
        candidates.append(folder + "/Tests/Fixtures/demo")
        break
      }
    }
    return candidates
  }

  private static var executableFolder: String? {
    guard let path = unsafe realpath("/proc/self/exe", nil) else { return nil }
    defer { unsafe free(path) }
    let text = unsafe String(cString: path)
    return text.lastIndex(of: "/").map { String(text[..<$0]) }
  }

  static func exists(_ path: String) -> Bool { unsafe access(path, R_OK) == 0 }

  /// The last part of a path, as the model's name in the API.
  static func name(of path: String) -> String {
    let trimmed = path.hasSuffix("/") ? String(path.dropLast()) : path
    return trimmed.lastIndex(of: "/").map { String(trimmed[trimmed.index(after: $0)...]) } ?? trimmed
  }
}
