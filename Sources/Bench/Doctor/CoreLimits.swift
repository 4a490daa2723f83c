import Foundation
import MMoEParallel

/// The cores that this process may use.
struct CoreLimits: Sendable {
  /// Threads that it starts by default: all of the machine.
  var threads: Int
  /// Those of the machine that it may run on.
  var allowed: Int
  /// Cores' worth of time that its control groups grant; nil = no limit.
  var quota: Double?

  static var current: CoreLimits {
    let membership = (try? String(contentsOfFile: "/proc/self/cgroup", encoding: .utf8)) ?? ""
    return CoreLimits(
      threads: ProcessInfo.processInfo.activeProcessorCount, allowed: allowedCores,
      quota: quota(membership, mount: "/sys/fs/cgroup"))
  }

  /// The least quota of the groups from the own one up to the root.
  ///
  /// - Parameters:
  ///   - membership: lines `number:controllers:path` of /proc/self/cgroup; without controllers those of version 2.
  ///   - mount: where the groups are files.
  static func quota(_ membership: String, mount: String) -> Double? {
    func numbers(_ file: String) -> [Double] {
      let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
      return text.split(whereSeparator: \.isWhitespace).compactMap { Double($0) }
    }
    var least: Double?
    for line in membership.split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let isFirst = fields[1].split(separator: ",").contains("cpu")
      guard isFirst || fields[1].isEmpty else { continue }
      // A container may see the names of groups outside of it, which lead to nothing here: its own are at the mount.
      var names = fields[2].split(separator: "/")[...]
      while true {
        let folder = ([mount] + (isFirst ? ["cpu"] : []) + names.map(String.init)).joined(separator: "/")
        // Version 2 writes both numbers in one line, and a word for no limit; version 1 writes −1 for it.
        let values =
          isFirst
          ? numbers(folder + "/cpu.cfs_quota_us") + numbers(folder + "/cpu.cfs_period_us")
          : numbers(folder + "/cpu.max")
        if values.count == 2, values[0] > 0, values[1] > 0 { least = min(least ?? .infinity, values[0] / values[1]) }
        guard names.popLast() != nil else { break }
      }
    }
    return least
  }
}
