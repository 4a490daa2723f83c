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

  /// Bytes that buffers may take: the host's memory, or less where virtual memory is limited.
  public static var available: Int { min(hostBytes, virtualBytesForBuffers ?? .max) }

  /// Memory that all processes of this host, or of this container, have together.
  public static var hostBytes: Int { min(Int(ProcessInfo.processInfo.physicalMemory), containerBytes ?? .max) }

  /// The limit of the control groups that this process is in, which containers and batch systems set; nil = none.
  public static var containerBytes: Int? {
    let membership = (try? String(contentsOfFile: "/proc/self/cgroup", encoding: .utf8)) ?? ""
    return containerBytes(membership, mount: "/sys/fs/cgroup")
  }

  /// The least limit of the groups from the own one up to the root: each holds for all below it.
  ///
  /// - Parameters:
  ///   - membership: lines `number:controllers:path` of /proc/self/cgroup; without controllers those of version 2.
  ///   - mount: where the groups are files.
  static func containerBytes(_ membership: String, mount: String) -> Int? {
    var least: Int?
    for line in membership.split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let isFirst = fields[1].split(separator: ",").contains("memory")
      guard isFirst || fields[1].isEmpty else { continue }
      // A container may see the names of groups outside of it, which lead to nothing here: its own are at the mount.
      var names = fields[2].split(separator: "/")[...]
      while true {
        let folder = ([mount] + (isFirst ? ["memory"] : []) + names.map(String.init)).joined(separator: "/")
        let file = folder + (isFirst ? "/memory.limit_in_bytes" : "/memory.max")
        let text = (try? String(contentsOfFile: file, encoding: .utf8))?.trimmingCharacters(in: .whitespacesAndNewlines)
        // Version 1 writes a number near 2^63 for no limit, version 2 a word.
        if let bytes = text.flatMap({ Int($0) }), bytes < 1 << 60 { least = min(least ?? bytes, bytes) }
        guard names.popLast() != nil else { break }
      }
    }
    return least
  }

  /// Half of the virtual memory that is left: threads, files and libraries need the rest. Nil without a limit.
  public static var virtualBytesForBuffers: Int? { virtualBytesLeft.map { $0 / 2 } }

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
