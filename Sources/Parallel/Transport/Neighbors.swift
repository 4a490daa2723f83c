import Foundation

/// The other ranks on this host and their processes: a rank that dies leaves the others waiting, and its host sees it
/// before any time-out does.
final class Neighbors {
  private let processes: [(rank: Int, pid: pid_t)]

  init(_ world: Communicator) {
    let hosts = world.hostNames()
    let pids = world.allGather(Array("\(getpid())".utf8)).map { pid_t(String(decoding: $0, as: UTF8.self)) }
    processes = zip(hosts, pids).enumerated().compactMap { rank, found in
      guard rank != world.rank, found.0 == hosts[world.rank], let pid = found.1 else { return nil }
      return (rank, pid)
    }
  }

  /// The lowest rank whose process is gone.
  func firstDead() -> Int? {
    processes.first { kill($0.pid, 0) != 0 && errno == ESRCH }?.rank
  }
}

extension Communicator {
  /// The host that each rank runs on; every rank must call.
  func hostNames() -> [String] {
    allGather(Array(ProcessInfo.processInfo.hostName.utf8)).map { String(decoding: $0, as: UTF8.self) }
  }
}
