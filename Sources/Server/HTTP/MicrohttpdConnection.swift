internal import Generation
internal import Glibc
internal import Synchronization

/// One open socket, and until when its client must have done what the server waits for.
///
/// ```
/// connected ──head──▶ body arrives ──▶ handler computes ──▶ answer is taken ──▶ idle ──head──▶ …
/// head timeout        body timeout      no deadline          send timeout        idle timeout
/// ```
final class MicrohttpdConnection: Sendable {
  let socket: Int32
  /// Monotonic milliseconds; `never` while the server owes the next move.
  private let deadline: Atomic<Int64>

  private let clock: MonotonicClock

  static let never = Int64.max
  private static let bytesPerExtraSecond = 64 << 10

  init(socket: Int32, timeoutMilliseconds: Int, clock: MonotonicClock) {
    self.socket = socket
    self.clock = clock
    deadline = Atomic(Self.never)
    expect(within: timeoutMilliseconds)
  }

  var now: Int64 { clock.milliseconds }

  /// The client must act within the time, plus a second for each 64 KiB it has to move.
  /// - Parameter start: in milliseconds, as `now` tells them; nil is now.
  func expect(within milliseconds: Int, since start: Int64? = nil, bytes: Int = 0) {
    let allowance = Int64(milliseconds) + Int64(bytes / Self.bytesPerExtraSecond) * 1000
    deadline.store((start ?? now) &+ allowance, ordering: .relaxed)
  }

  func expectNothing() { deadline.store(Self.never, ordering: .relaxed) }

  func isLate(at now: Int64) -> Bool { now > deadline.load(ordering: .relaxed) }

  /// Wakes whoever waits on the socket and lets every further read and write fail. The descriptor stays valid.
  func cut() { shutdown(socket, Int32(SHUT_RDWR)) }
}

/// The client of one request; asks the socket only while that request lasts.
final class MicrohttpdClient: HTTPClient {
  private let socket: Atomic<Int32>

  init(socket: Int32) { self.socket = Atomic(socket) }

  /// The descriptor's number may be another connection's from now on.
  func end() { socket.store(-1, ordering: .relaxed) }

  var presence: HTTPClientPresence {
    // <poll.h> hides POLLRDHUP from Swift behind _GNU_SOURCE.
    let peerFinished: Int16 = 0x2000
    var entry = pollfd(fd: socket.load(ordering: .relaxed), events: peerFinished, revents: 0)
    if entry.fd < 0 { return .gone }
    guard unsafe poll(&entry, 1, 0) > 0 else { return .present }
    let errors = Int16(POLLERR) | Int16(POLLHUP) | Int16(POLLNVAL)
    if entry.revents & errors != 0 { return .gone }
    return entry.revents & peerFinished != 0 ? .finishedSending : .present
  }
}
