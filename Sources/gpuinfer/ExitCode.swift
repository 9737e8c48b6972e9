/// Exit codes of `sysexits.h` that scripts may rely on.
enum ExitCode: Int32, Error {
  case success = 0
  /// A check that was asked for did not hold (`verify`, thresholds).
  case checkFailed = 1
  case usage = 64
  /// The model, text or JSON that was given is malformed.
  case badData = 65
  case inputNotFound = 66
  /// A device, driver or library is not there.
  case unavailable = 69
  case internalError = 70
  case inputOutput = 74
  /// Stopped by a signal in a state that the same command resumes (`EX_TEMPFAIL`).
  case interrupted = 75
}

/// An error with its exit code and the text for stderr.
struct Failure: Error {
  let code: ExitCode
  let message: String

  init(_ code: ExitCode, _ message: String) {
    self.code = code
    self.message = message
  }
}
