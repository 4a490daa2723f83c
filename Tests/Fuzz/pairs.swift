import Foundation

/// Whatever `captions.jsonl` holds, it is refused in one line, or every pair has its file and its caption, and no group
/// stands on both sides.
func fuzzPairs(_ input: UnsafeBufferPointer<UInt8>) {
  for name in ["a.png", "b.png"] { _ = fuzzFile(name, []) }
  _ = fuzzFile(PairFolder.fileName, input)
  mayRefuse {
    let folder = try PairFolder(path: fuzzFolder, validationShare: 0.5)
    var groups: [Set<Int>] = []
    for split in DatasetSplit.allCases {
      let set = folder[split]
      precondition(set.count > 0 && set.groups.joined().sorted() == Array(0..<set.count))
      for image in set.images {
        precondition(FileManager.default.fileExists(atPath: image.path) && !image.captions.isEmpty)
        precondition(image.captions.allSatisfy { $0.contains { !$0.isWhitespace } })
        precondition(image.label == -1 || folder.labels.indices.contains(Int(image.label)))
      }
      groups.append(Set(set.images.map(\.group)))
    }
    precondition(groups[0].isDisjoint(with: groups[1]))
  }
}
