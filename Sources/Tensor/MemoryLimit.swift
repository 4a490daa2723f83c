import Foundation
import Synchronization

/// What this process may take of memory, and how it ends where that is not enough.
public enum MemoryLimit {
  /// How the process ends: with one line, from any thread. Ranks set their own, which ends the whole job.
  private static let ending = Mutex<@Sendable (String) -> Never>({ reason in
    var line = Array((reason + "\n").utf8)
    write(STDERR_FILENO, &line, line.count)
    _exit(1)
  })

  /// Replaces what ends the process.
  public static func onStop(_ end: @escaping @Sendable (String) -> Never) { ending.withLock { $0 = end } }

  /// Ends the process for want of memory. Buffers are taken deep within operations, where nothing can be thrown.
  ///
  /// - Parameter needed: for what there was none.
  static func stop(_ needed: String) -> Never {
    let limit = virtualBytes.map { " (now \($0 >> 20) MB)" } ?? ""
    ending.withLock { $0 }(
      "out of memory: \(needed); lower data.batch or the model's sizes, or raise the limit of virtual memory, ulimit -v\(limit)"
    )
  }

  /// Bytes that buffers may take: the machine's memory, or less where virtual memory is limited.
  public static var available: Int {
    min(Int(ProcessInfo.processInfo.physicalMemory), virtualBytesForBuffers ?? .max)
  }

  /// Half of the virtual memory that is left: threads, files and libraries need the rest. Nil without a limit.
  static var virtualBytesForBuffers: Int? { virtualBytesLeft.map { $0 / 2 } }

  /// The limit of virtual memory in bytes (`ulimit -v`); nil = none.
  public static var virtualBytes: Int? {
    var limit = rlimit()
    #if canImport(Glibc)
      let code = getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
    #else
      let code = getrlimit(RLIMIT_AS, &limit)
    #endif
    guard code == 0, limit.rlim_cur < 1 << 60 else { return nil }
    return Int(limit.rlim_cur)
  }

  /// What is left of it; nil without a limit.
  public static var virtualBytesLeft: Int? {
    guard let limit = virtualBytes else { return nil }
    let sizes = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
    let used = sizes.split(separator: " ").first.flatMap { Int($0) } ?? 0
    return max(0, limit - used * Int(getpagesize()))
  }
}
