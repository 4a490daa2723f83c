import MMoEParallel

/// Why a command does not run as one of several processes; the first of them says it.
package struct RankRefusal: Error, CustomStringConvertible {
  package let description: String

  /// - Throws: `RankRefusal` where mpirun or srun started this process beside others.
  package static func requireOneProcess() throws {
    guard let reason = ParallelProcess.refusal() else { return }
    throw RankRefusal(description: ParallelProcess.isFollower ? "" : reason)
  }
}
