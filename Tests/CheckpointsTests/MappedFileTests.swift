import Checkpoints
import Foundation
import Testing

@Suite struct MappedFileTests {
  private func error(_ path: String) -> CheckpointError? {
    do {
      _ = try MappedFile(path: path)
      return nil
    } catch {
      return error
    }
  }

  @Test(arguments: [1, 4095, 4096, 4097, 100_000])
  func showsTheBytesOfTheFile(count: Int) throws {
    let directory = try TemporaryDirectory()
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    let file = try MappedFile(path: directory.write("x", bytes))
    #expect(file.byteCount == count)
    let copy = unsafe file.withBytes { mapped in unsafe Array(mapped) }
    #expect(copy == bytes)
  }

  @Test func anEmptyFileHasNoBytes() throws {
    let directory = try TemporaryDirectory()
    let file = try MappedFile(path: directory.write("x", ""))
    let count = unsafe file.withBytes { mapped in mapped.count }
    #expect(count == 0)
    file.advise(.willNeed)
  }

  @Test func adviceMayNameAnyRange() throws {
    let directory = try TemporaryDirectory()
    let file = try MappedFile(path: directory.write("x", [UInt8](repeating: 9, count: 10_000)))
    file.advise(.sequential)
    file.advise(.willNeed, range: 5_000..<6_000)
    file.advise(.random, range: 9_999..<50_000)
    file.advise(.willNeed, range: 20_000..<30_000)
    let last = unsafe file.withBytes { mapped in unsafe mapped[9_999] }
    #expect(last == 9)
  }

  @Test func aMappingSurvivesItsFile() throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write("x", "content")
    let file = try MappedFile(path: path)
    try FileManager.default.removeItem(atPath: path)
    let copy = unsafe file.withBytes { mapped in unsafe Array(mapped) }
    #expect(copy == Array("content".utf8))
  }

  @Test func whatCannotBeMappedIsNamed() throws {
    let directory = try TemporaryDirectory()
    #expect(error(directory.file("none")) == .notFound(path: directory.file("none")))
    #expect(error(directory.path) == .notAFile(path: directory.path))
    #expect(error("/dev/null") == .notAFile(path: "/dev/null"))
    let file = try directory.write("x", "1")
    #expect(error(file + "/y") == .notFound(path: file + "/y"))
    #expect(error(file + "\0hidden") == .notFound(path: file + "\0hidden"))
    #expect(error("") == .notFound(path: ""))
  }

  @Test func aPipeIsRefusedWithoutWaitingForAWriter() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("pipe")
    #expect(unsafe mkfifo(path, 0o600) == 0)
    #expect(error(path) == .notAFile(path: path))
  }

  @Test(.disabled(if: geteuid() == 0, "root may read everything"))
  func aForbiddenFileIsNotReadable() throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write("x", "1")
    try FileManager.default.setAttributes([.posixPermissions: 0], ofItemAtPath: path)
    #expect(error(path) == .notReadable(path: path))
  }
}
