import Foundation

/// Whatever `captions.jsonl` holds, it is refused in one line, or every pair has its file and its caption, and no group
/// stands on both sides.
func fuzzPairs(_ input: UnsafeBufferPointer<UInt8>) {
  // Two pictures of their own, and one under two names.
  for (name, bytes) in [("a.png", [1]), ("b.png", [2, 2]), ("c.raw", [2, 2])] as [(String, [UInt8])] {
    _ = fuzzFile(name, bytes)
  }
  _ = fuzzFile(PairFolder.fileName, input)
  mayRefuse {
    let folder = try PairFolder(path: fuzzFolder, validationShare: 0.5)
    var groups: [Set<Int>] = []
    for split in DatasetSplit.allCases {
      let set = folder[split]
      precondition(set.count > 0 && set.groups.joined().sorted() == Array(0..<set.count))
      for image in set.items {
        precondition(image["image"].count == 1 && FileManager.default.fileExists(atPath: image["image"][0]))
        precondition(!image.captions.isEmpty)
        precondition(image.captions.allSatisfy { $0.contains { !$0.isWhitespace } })
        precondition(image.label == -1 || folder.labels.indices.contains(Int(image.label)))
      }
      groups.append(Set(set.items.map(\.group)))
      for (name, other) in [("b.png", "c.raw"), ("c.raw", "b.png")] {
        guard set.items.contains(where: { $0["image"][0].hasSuffix("/" + name) }) else { continue }
        let opposite = folder[split == .train ? .val : .train]
        precondition(!opposite.items.contains { $0["image"][0].hasSuffix("/" + other) })
      }
    }
    precondition(groups[0].isDisjoint(with: groups[1]))
  }
}
