internal import Glibc

/// How many files and sockets the process may have open.
enum DescriptorLimit {
  /// Takes all that the system grants without asking. The usual soft limit of 1,024 only protects programs that use
  /// `select`, and would end a server at a thousand clients.
  static func raise() {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0,
      limit.rlim_cur < limit.rlim_max
    else { return }
    limit.rlim_cur = limit.rlim_max
    unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  }
}
