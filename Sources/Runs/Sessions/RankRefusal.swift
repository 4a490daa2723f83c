import MMoEParallel

/// Why a command does not run as one of several processes; the first of them says it.
public struct RankRefusal: Error, CustomStringConvertible {
  public let description: String

  /// - Throws: `RankRefusal` where mpirun or srun started this process beside others.
  public static func requireOneProcess() throws {
    guard let reason = ParallelProcess.refusal() else { return }
    throw RankRefusal(description: ParallelProcess.isFollower ? "" : reason)
  }
}
