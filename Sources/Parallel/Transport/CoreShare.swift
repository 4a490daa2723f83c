import Foundation

/// Where a rank runs: ranks of one place have the same cores to share.
struct CorePlace: Equatable {
  /// Of the host's name.
  let host: Int
  /// Lowest of the cores that the launcher leaves to the rank, and how many they are. Launchers bind ranks to cores,
  /// to sockets or not at all, so those of two ranks are the same or apart.
  let first: Int
  let cores: Int

  /// That of the calling process.
  static var own: CorePlace {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let field = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
    // Such as 0-3,8-11.
    let ranges = (field ?? "").dropFirst("Cpus_allowed_list:".count).split(separator: ",").map { part in
      part.split(separator: "-").compactMap { Int($0.trimmingCharacters(in: .whitespaces)) }
    }
    let count = ranges.reduce(0) { $0 + ($1.last ?? 0) - ($1.first ?? 0) + 1 }
    // Not Foundation's name, which asks the network and is "localhost" for a host that nobody there knows.
    var name = [CChar](repeating: 0, count: 256)
    gethostname(&name, name.count - 1)
    return CorePlace(
      host: hash(of: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:))), first: ranges.first?.first ?? 0,
      cores: max(count, 1))
  }

  /// Exact in a double.
  private static func hash(of name: [UInt8]) -> Int {
    name.reduce(5381) { ($0 &* 33 &+ Int($1)) & ((1 << 52) - 1) }
  }

  /// Computing threads of one rank among all ranks' places.
  static func threads(of rank: Int, among places: [CorePlace]) -> Int {
    max(1, places[rank].cores / places.count { $0 == places[rank] })
  }
}

/// Cores that the launcher, a container or taskset leaves to this process.
package var allowedCores: Int { CorePlace.own.cores }

extension Communicator {
  /// Computing threads for this rank: its share of the cores that it may run on. To be called by all ranks.
  package func coreShare() -> Int { CorePlace.threads(of: rank, among: places()) }

  /// Ranks on this rank's host, itself among them. To be called by all ranks.
  package func ranksOnHost() -> Int {
    let places = places()
    return places.count { $0.host == places[rank].host }
  }

  private func places() -> [CorePlace] {
    var values = [Double](repeating: 0, count: 3 * size)
    let own = CorePlace.own
    values.replaceSubrange(3 * rank..<3 * rank + 3, with: [own.host, own.first, own.cores].map(Double.init))
    let all = allReduce(values).map { Int($0) }
    return (0..<size).map { CorePlace(host: all[3 * $0], first: all[3 * $0 + 1], cores: all[3 * $0 + 2]) }
  }
}
