internal import Glibc

/// Results go to stdout, everything else to stderr; whole strings at once, so that threads do not interleave.
enum Console {
  static func write(_ text: String) { write(text, to: STDOUT_FILENO) }

  static func error(_ line: String) { write(line.hasSuffix("\n") ? line : line + "\n", to: STDERR_FILENO) }

  /// Without a line break of its own.
  static func errorInPlace(_ text: String) { write(text, to: STDERR_FILENO) }

  static var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }
  static var inputIsTerminal: Bool { isatty(STDIN_FILENO) == 1 }

  private static func write(_ text: String, to descriptor: Int32) {
    var text = text
    text.withUTF8 { bytes in
      var offset = 0
      while offset < bytes.count {
        let written = unsafe Glibc.write(
          descriptor, bytes.baseAddress.unsafelyUnwrapped + offset, bytes.count - offset)
        if written < 0 {
          if errno == EINTR { continue }
          // Nobody reads any more (`gpuinfer … | head`): there is nothing left to do.
          if descriptor == STDOUT_FILENO {
            exit(errno == EPIPE ? ExitCode.success.rawValue : ExitCode.inputOutput.rawValue)
          }
          return
        }
        offset += written
      }
    }
  }
}

/// A line of progress that is redrawn on a terminal, and silent elsewhere.
struct ProgressLine: ~Copyable {
  private let title: String
  private let total: Int
  /// What was done when it began: a run that goes on has steps behind it that took no time now.
  private var start: (done: Int, time: ContinuousClock.Instant)?
  private var lastDrawn: ContinuousClock.Instant?
  private let isShown = Console.errorIsTerminal

  init(_ title: String, total: Int) {
    self.title = title
    self.total = total
  }

  mutating func update(_ done: Int) {
    guard isShown else { return }
    let now = ContinuousClock.now
    let start = start ?? (done, now)
    self.start = start
    if let lastDrawn, now - lastDrawn < .milliseconds(100), done < total { return }
    lastDrawn = now
    var line = "\(title) \(done)/\(total)"
    if done > start.done {
      let each = start.time.duration(to: now) / .seconds(1) / Double(done - start.done)
      line += ", \(Int((each * Double(total - done)).rounded())) s left"
    }
    Console.errorInPlace("\r\u{1B}[K" + line)
  }

  deinit {
    if isShown, lastDrawn != nil { Console.error("") }
  }
}
