import MMoEFiles
import MMoETensor

/// Which side every item is on. Items of one group, and files of one content, are on the same side.
struct PairSides {
  private var sides: [DatasetSplit?]

  /// Nil for an item that is left out.
  subscript(index: Int) -> DatasetSplit? { sides[index] }

  /// - Throws: `DataError` for a file that cannot be read, and where lines put one group or file on both sides.
  init(_ records: [PairRecord], path: String, share: Double, seed: UInt64) throws {
    var bonds = Bonds(records.count)
    var byGroup: [String: Int] = [:]
    for (index, record) in records.enumerated() {
      guard let group = record.group else { continue }
      if let first = byGroup[group] { bonds.tie(first, index) } else { byGroup[group] = index }
    }
    let files = SampleFormat.registry.names.flatMap { field in
      records.enumerated().flatMap { index, record in
        (record.files[field] ?? []).map { (index: index, field: field, path: FilePath.join(path, $0)) }
      }
    }
    let equal = try PairSides.equalFiles(files.map(\.path)).map { $0.map { files[$0] } }
    for same in equal {
      for file in same.dropFirst() { bonds.tie(same[0].index, file.index) }
    }
    /// What two items have in common, for messages.
    func bond(_ first: Int, _ second: Int) -> String {
      if let group = records[first].group, group == records[second].group { return "group" }
      let shared = equal.first { same in [first, second].allSatisfy { index in same.contains { $0.index == index } } }
      guard let field = shared?.first?.field else { return "file" }
      return field == SampleFormat.image.field ? "picture" : "\(field) file"
    }
    // What lines say of any member holds for all that lines say nothing of.
    var said: [Int: (side: DatasetSplit, by: Int)] = [:]
    for (index, record) in records.enumerated() {
      guard case .side(let side) = record.split else { continue }
      let root = bonds.root(index)
      guard let other = said[root] else {
        said[root] = (side, index)
        continue
      }
      guard other.side == side else {
        let (first, second) = (records[other.by], record)
        throw DataError(
          "\(second.place)",
          found:
            "\(second.mainFile) is in \(side.rawValue), but \(first.mainFile), of the same \(bond(other.by, index)), is in \(other.side.rawValue) (\(first.place))",
          remedy: "give both lines one split, or none to one of them")
      }
    }
    sides = records.indices.map { index in
      switch records[index].split {
      case .side(let side): return side
      case .leftOut: return nil
      case nil:
        let root = bonds.root(index)
        if let other = said[root] { return other.side }
        let name = records[root].groupName
        let drawn = CounterRandom(seed: seed, purpose: .split, a: CounterRandom.hash(name)).uniform(0)
        return drawn < Float(share) ? .val : .train
      }
    }
  }

  /// Numbers of files whose bytes are equal, two or more each. Only files of one size are read.
  private static func equalFiles(_ paths: [String]) throws -> [[Int]] {
    var bySize: [Int: [Int]] = [:]
    for (index, path) in paths.enumerated() { bySize[try fileSize(path), default: []].append(index) }
    let candidates = bySize.values.filter { $0.count > 1 }.flatMap { $0 }.sorted()
    let hashes = try candidates.mapInParallel { ContentHash(try readFile(paths[$0], limit: 1 << 30)) }
    var byContent: [ContentHash: [Int]] = [:]
    for (index, hash) in zip(candidates, hashes) { byContent[hash, default: []].append(index) }
    return byContent.values.filter { $0.count > 1 }.sorted { $0[0] < $1[0] }
  }
}

/// Sets of numbers that belong together; each is known by its lowest one.
private struct Bonds {
  private var parent: [Int]

  init(_ count: Int) { parent = Array(0..<count) }

  func root(_ index: Int) -> Int {
    var index = index
    while parent[index] != index { index = parent[index] }
    return index
  }

  mutating func tie(_ first: Int, _ second: Int) {
    let (one, other) = (root(first), root(second))
    parent[max(one, other)] = min(one, other)
  }
}
