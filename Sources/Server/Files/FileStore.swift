internal import Generation
internal import Glibc
package import JSON

/// The files of the Files API, on disk.
///
/// ```
/// STATE/files/file-0123….data      the bytes, first
/// STATE/files/file-0123….json      what is known of them, last: only then the file is there
/// ```
package final class FileStore: Sendable {
  package struct Record: Sendable, Equatable {
    package var id: String
    package var bytes: Int
    /// Unix seconds.
    package var createdAt: Int
    package var filename: String
    package var purpose: String

    package var json: JSONValue {
      [
        "id": .string(id), "object": "file", "bytes": .integer(Int64(bytes)),
        "created_at": .integer(Int64(createdAt)), "expires_at": .null, "filename": .string(filename),
        "purpose": .string(purpose), "status": "processed", "status_details": .null,
      ]
    }
  }

  static let maximumFiles = 10_000

  private let folder: String
  private let records = Monitor<[String: Record]>([:])

  /// Reads what earlier servers left; what they had not finished writing is removed.
  init(folder: String) throws(StateError) {
    self.folder = folder
    try StateFolder.make(folder)
    var found: [String: Record] = [:]
    let names = try StateFolder.names(in: folder)
    for name in names where name.hasSuffix(".json") {
      let record = try Self.read(folder + "/" + name)
      guard name == record.id + ".json" else {
        throw .damaged(path: folder + "/" + name, reason: "it is about \(record.id)")
      }
      found[record.id] = record
    }
    for name in names where !name.hasSuffix(".json") {
      let id = String(name.prefix { $0 != "." })
      if found[id] == nil || name.hasSuffix(DurableFile.temporarySuffix) {
        try DurableFile.remove(folder + "/" + name)
      }
    }
    let all = found
    records.withLock { $0 = all }
  }

  private static func read(_ path: String) throws(StateError) -> Record {
    let json: JSONValue
    do throws(JSONError) {
      json = try JSONValue.parse(readBytes(path))
    } catch {
      throw .damaged(path: path, reason: "\(error)")
    }
    guard let id = json["id"]?.string, StateIdentifier.isFile(id), let bytes = json["bytes"]?.int, bytes >= 0,
      let createdAt = json["created_at"]?.int, let filename = json["filename"]?.string,
      let purpose = json["purpose"]?.string
    else { throw .damaged(path: path, reason: "fields are missing") }
    return Record(id: id, bytes: bytes, createdAt: createdAt, filename: filename, purpose: purpose)
  }

  /// A file that cannot be read counts as empty, which is no JSON.
  private static func readBytes(_ path: String) -> [UInt8] { (try? StateFolder.read(path)) ?? [] }

  package subscript(id: String) -> Record? { records.withLock { $0[id] } }

  /// Newest first.
  package var all: [Record] {
    records.withLock { Array($0.values) }.sorted { ($0.createdAt, $0.id) > ($1.createdAt, $1.id) }
  }

  func path(of id: String) -> String { folder + "/" + id + ".data" }

  /// Stores a file; it is on disk when this returns.
  ///
  /// - Parameters:
  ///   - id: a fresh one, or that of an earlier attempt to write the same file.
  ///   - fill: appends the content.
  func create(
    id: String, filename: String, purpose: String,
    _ fill: (inout DurableFile) throws(StateError) -> Void
  ) throws(StateError) -> Record {
    var file = try DurableFile(path: path(of: id))
    try fill(&file)
    let record = Record(
      id: id, bytes: file.byteCount, createdAt: OpenAIServer.now, filename: filename, purpose: purpose)
    try file.commit()
    var bytes: [UInt8] = []
    record.json.write(into: &bytes)
    try DurableFile.write(bytes, to: folder + "/" + id + ".json")
    records.withLock { $0[id] = record }
    return record
  }

  /// Returns false where there is no such file.
  func remove(_ id: String) throws(StateError) -> Bool {
    guard self[id] != nil else { return false }
    try DurableFile.remove(folder + "/" + id + ".json")
    try DurableFile.remove(path(of: id))
    return records.withLock { $0.removeValue(forKey: id) != nil }
  }
}

/// Names of what the server keeps. They become names of files, so that nothing else may pass for one.
enum StateIdentifier {
  static func newFile() -> String { "file-" + OpenAIServer.randomHex() }
  static func newBatch() -> String { "batch_" + OpenAIServer.randomHex() }
  static func isFile(_ text: String) -> Bool { isIdentifier(text, "file-") }
  static func isBatch(_ text: String) -> Bool { isIdentifier(text, "batch_") }

  private static func isIdentifier(_ text: String, _ prefix: String) -> Bool {
    let digits = text.utf8.dropFirst(prefix.utf8.count)
    return text.hasPrefix(prefix) && digits.count == 32
      && digits.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
  }
}
