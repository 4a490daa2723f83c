import Foundation

/// The other ranks on this host and their processes: a rank that dies leaves the others waiting, and its host sees it
/// before any time-out does.
final class Neighbours {
  private let processes: [(rank: Int, pid: pid_t)]

  init(_ world: Communicator) {
    let host = ProcessInfo.processInfo.hostName
    let all = world.allGather(Array("\(getpid()) \(host)".utf8)).map {
      String(decoding: $0, as: UTF8.self).split(separator: " ", maxSplits: 1).map(String.init)
    }
    processes = all.enumerated().compactMap { rank, words in
      guard rank != world.rank, words.count == 2, words[1] == host, let pid = pid_t(words[0]) else {
        return nil
      }
      return (rank, pid)
    }
  }

  /// The lowest rank whose process is gone.
  func firstDead() -> Int? {
    processes.first { kill($0.pid, 0) != 0 && errno == ESRCH }?.rank
  }
}
