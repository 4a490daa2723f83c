extension RankTeam {
  /// Ends the job with one line when the ranks do not agree on a text, such as their configuration.
  ///
  /// - Parameters:
  ///   - what: what the text is, such as "configuration".
  ///   - text: lines; the first that differs is named.
  package func requireSame(_ what: String, _ text: String) {
    let texts = world.allGather(Array(text.utf8)).map {
      String(decoding: $0, as: UTF8.self).split(separator: "\n").map(String.init)
    }
    guard let other = texts.indices.first(where: { texts[$0] != texts[0] }) else { return }
    // One rank speaks for all.
    guard world.rank == other else { ParallelProcess.endSilently() }
    let (own, first) = (texts[other], texts[0])
    let at = zip(own, first).prefix { $0 == $1 }.count
    func line(_ lines: [String]) -> String {
      at < lines.count ? "'\(lines[at].trimmed)'" : "nothing more"
    }
    ParallelProcess.stop(
      "its \(what) has \(line(own)) where rank 0 has \(line(first)); start all ranks with the same command and data")
  }

  /// The first rank's number, on all ranks: where each has computed it, those that differ in a last bit must not part ways.
  package func agreed(_ value: Int32) -> Int32 { Int32(world.allReduce([world.rank == 0 ? Double(value) : 0])[0]) }

  /// Ends the job with the line of that rank whose `position` is the least, the lowest rank among equals.
  package func stopTogether(_ reason: String, position: Int) -> Never {
    let positions = world.allGather(Array(String(position).utf8)).map {
      Int(String(decoding: $0, as: UTF8.self)) ?? .max
    }
    if positions.indices.min(by: { positions[$0] < positions[$1] }) != world.rank {
      ParallelProcess.endSilently()
    }
    ParallelProcess.stop(reason)
  }
}

extension String {
  fileprivate var trimmed: String { String(drop { $0 == " " }) }
}
