import Server
import Testing

@Suite("Pace of a batch")
struct BatchPaceTests {
  @Test("nothing is said before a line is finished, nor of an input without a size")
  func unknown() {
    var pace = BatchPace(fileBytes: 100)
    pace.readBytes = 10
    pace.takenBytes = 10
    #expect(pace.leftOverFinished == nil)
    pace.finishedBytes = 10
    #expect(pace.leftOverFinished == 9)
    pace.fileBytes = nil
    #expect(pace.leftOverFinished == nil)
  }

  @Test("lines in work count as left; at the end nothing is")
  func work() {
    var pace = BatchPace(fileBytes: 100)
    pace.readBytes = 60
    pace.takenBytes = 60
    pace.finishedBytes = 20
    #expect(pace.leftOverFinished == 4)
    pace.readBytes = 100
    pace.takenBytes = 100
    pace.finishedBytes = 100
    #expect(pace.leftOverFinished == 0)
  }

  @Test("of the rest as much is this shard's as of what was read, without the lines of an earlier run")
  func share() {
    var pace = BatchPace(fileBytes: 1000)
    pace.readBytes = 600
    pace.skippedBytes = 400
    pace.takenBytes = 50
    pace.finishedBytes = 50
    // A quarter of the 400 unread bytes.
    #expect(pace.leftOverFinished == 2)
  }

  @Test("a file that grows while it is read leaves nothing negative")
  func growing() {
    var pace = BatchPace(fileBytes: 10)
    pace.readBytes = 30
    pace.takenBytes = 30
    pace.finishedBytes = 30
    #expect(pace.leftOverFinished == 0)
  }
}
