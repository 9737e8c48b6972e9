internal import CPCRE2
internal import Glibc

/// A compiled regular expression, with bounds on what matching may cost.
///
/// `tokenizer.json` writes expressions in Oniguruma's syntax; they are translated to PCRE2's and compiled to
/// machine code where PCRE2 can. The compiled form is read-only and shared; each thread matches with its own
/// `Matcher`.
final class Pattern: Sendable {
  let source: String
  private let code: Code

  /// - Throws: `invalidPattern` for what Oniguruma or PCRE2 would refuse, or mean differently.
  init(_ source: String) throws(TokenizerError) {
    self.source = source
    code = try Code(source)
  }

  func matcher() throws(TokenizerError) -> Matcher { try Matcher(code, source: source) }
}

/// The owner of PCRE2's compiled expression, which is immutable and may be used by all threads.
@safe
private final class Code: @unchecked Sendable {
  let pointer: OpaquePointer

  /// In bytes; longer ones serve no honest purpose.
  private static let longestPattern = 1 << 16

  init(_ source: String) throws(TokenizerError) {
    guard source.utf8.count <= Self.longestPattern else {
      throw .invalidPattern(
        pattern: String(source.prefix(64)) + "…", reason: "longer than \(Self.longestPattern) bytes",
        offset: Self.longestPattern)
    }
    let text = Array(try OnigurumaTranslator.translate(source).utf8)
    var failure: Int32 = 0
    var offset = 0
    let context = unsafe pcre2_compile_context_create_8(nil)
    defer { unsafe pcre2_compile_context_free_8(context) }
    unsafe pcre2_set_newline_8(context, UInt32(PCRE2_NEWLINE_LF))
    let options =
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT
    let compiled = unsafe pcre2_compile_8(text, text.count, options, &failure, &offset, context)
    guard let compiled = unsafe compiled else {
      throw .invalidPattern(pattern: source, reason: Self.message(failure), offset: offset)
    }
    unsafe pointer = compiled
    // Where there is no machine code for a pattern or a machine, matching interprets it.
    _ = unsafe pcre2_jit_compile_8(pointer, PCRE2_JIT_COMPLETE)
  }

  deinit { unsafe pcre2_code_free_8(pointer) }

  private static func message(_ code: Int32) -> String {
    var buffer = [UInt8](repeating: 0, count: 256)
    let length = unsafe pcre2_get_error_message_8(code, &buffer, buffer.count)
    return length > 0 ? String(decoding: buffer.prefix(Int(length)), as: UTF8.self) : "error \(code)"
  }
}

/// Finds a pattern's matches; for one thread.
@safe
final class Matcher {
  private let code: Code
  private let source: String
  private let data: OpaquePointer
  private let context: OpaquePointer
  private let stack: OpaquePointer?

  /// Backtracking steps at one place of the text; a pattern that needs more is exponential.
  private static let stepLimit: UInt32 = 2_000_000
  private static let heapLimitKiB: UInt32 = 64 << 10
  private static let stackBytes = 1 << 20
  /// A search is interrupted this often to look at the clock.
  private static let window = 4096

  fileprivate init(_ code: Code, source: String) throws(TokenizerError) {
    self.code = code
    self.source = source
    let data = unsafe pcre2_match_data_create_8(1, nil)
    let context = unsafe pcre2_match_context_create_8(nil)
    guard let data = unsafe data, let context = unsafe context else {
      unsafe pcre2_match_data_free_8(data)
      unsafe pcre2_match_context_free_8(context)
      throw .invalidPattern(pattern: source, reason: "no memory to match with", offset: 0)
    }
    unsafe self.data = data
    unsafe self.context = context
    unsafe pcre2_set_match_limit_8(context, Self.stepLimit)
    unsafe pcre2_set_heap_limit_8(context, Self.heapLimitKiB)
    unsafe stack = pcre2_jit_stack_create_8(32 << 10, Self.stackBytes, nil)
    unsafe pcre2_jit_stack_assign_8(context, nil, UnsafeMutableRawPointer(stack))
  }

  deinit {
    unsafe pcre2_jit_stack_free_8(stack)
    unsafe pcre2_match_context_free_8(context)
    unsafe pcre2_match_data_free_8(data)
  }

  /// All matches, from left to right; they don't overlap. Bytes that are no valid UTF-8 match nothing and end
  /// the text around them.
  func matches(in text: Span<UInt8>) throws(TokenizerError) -> [Range<Int>] {
    var matches: [Range<Int>] = []
    var start = 0
    while start < text.count {
      let rest = text.extracting(start..<text.count)
      let valid = UTF8Validity.validPrefix(rest)
      try matchValid(rest.extracting(0..<valid), offset: start, &matches)
      start += valid == rest.count ? valid : valid + 1
    }
    return matches
  }

  private func matchValid(
    _ text: Span<UInt8>, offset: Int, _ matches: inout [Range<Int>]
  ) throws(TokenizerError) {
    var place = 0
    var lastEnd = -1
    var clock = CostClock(bytes: text.count)
    while place <= text.count {
      guard let match = try firstMatch(in: text, from: place, &clock) else { return }
      // An empty match right behind the last one would be found for ever.
      if match.isEmpty, match.lowerBound == lastEnd {
        if place >= text.count { return }
        place += UTF8Scalar.decode(text, at: place).length
      } else {
        place = match.upperBound
        lastEnd = place
        matches.append(match.lowerBound + offset..<match.upperBound + offset)
      }
    }
  }

  private func firstMatch(
    in text: Span<UInt8>, from place: Int, _ clock: inout CostClock
  ) throws(TokenizerError) -> Range<Int>? {
    var start = place
    while true {
      let end = min(text.count, start + Self.window)
      unsafe pcre2_set_offset_limit_8(context, end)
      let code = run(text, from: start)
      if code > 0 {
        let ends = unsafe pcre2_get_ovector_pointer_8(data)
        let range = unsafe (ends?[0] ?? 0, ends?[1] ?? 0)
        return min(range.0, range.1)..<max(range.0, range.1)
      }
      if code == PCRE2_ERROR_NOMATCH, end == text.count { return nil }
      if code != PCRE2_ERROR_NOMATCH || clock.isOver() {
        throw .patternTooCostly(pattern: source, offset: start)
      }
      start = end
      // Start inside no character; the one cut by the window's end was tried.
      while start < text.count, text[start] & 0xC0 == 0x80 { start += 1 }
    }
  }

  /// The text must be valid UTF-8 and `start` lie between two characters.
  private func run(_ text: Span<UInt8>, from start: Int) -> Int32 {
    // Checking the text again at each match would make the whole quadratic.
    let options = PCRE2_NO_UTF_CHECK
    return unsafe text.withUnsafeBufferPointer { buffer in
      let code = unsafe pcre2_match_8(
        self.code.pointer, buffer.baseAddress, buffer.count, start, options, data, context)
      if code != PCRE2_ERROR_JIT_STACKLIMIT { return code }
      return unsafe pcre2_match_8(
        self.code.pointer, buffer.baseAddress, buffer.count, start, options | PCRE2_NO_JIT, data, context)
    }
  }
}

/// A bound on the time that one text may take: patterns can be quadratic without ever reaching the step limit.
private struct CostClock {
  private let deadline: Int

  init(bytes: Int) { deadline = Self.now() + 2_000 + bytes / 250 }

  func isOver() -> Bool { Self.now() > deadline }

  /// In milliseconds.
  private static func now() -> Int {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
  }
}

enum UTF8Validity {
  /// The number of bytes before the first that is not part of valid UTF-8.
  static func validPrefix(_ text: Span<UInt8>) -> Int {
    do throws(UTF8.ValidationError) {
      _ = try UTF8Span(validating: text)
      return text.count
    } catch {
      return error.byteOffsets.lowerBound
    }
  }
}
