import MMoEFiles

/// What became of every image, kept in the journal of the folder, so that an interrupted import goes on where it was.
final class ImportJournal {
  enum Result {
    /// The hash of the source's file or pixels, the size of the PNG file, and the source's file as it was (`SourceTree.version`).
    case written(ContentHash, bytes: Int, isResized: Bool, version: String)
    /// Why it cannot be read.
    case bad(String)
  }

  private let folder: ResumableFolder
  private var results: [Int: Result] = [:]

  /// Takes over what an earlier process has written, as far as its files are there and whole, and the source's are the same. Images that
  /// it could not read are tried again.
  init(_ folder: ResumableFolder, _ plan: ImportPlan, _ tree: any SourceTree, _ targets: ImportTargets) {
    self.folder = folder
    for line in folder.done {
      let fields = line.split(separator: " ")
      guard fields.count == 6, let index = Int(fields[0]), targets.paths.indices.contains(index),
        let high = UInt64(fields[1], radix: 16), let low = UInt64(fields[2], radix: 16), let bytes = Int(fields[3]),
        (try? fileSize(FilePath.join(folder.path, targets.paths[index]))) == bytes,
        tree.version(of: plan.items[index].file) == fields[5]
      else { continue }
      results[index] = .written(
        ContentHash(low: low, high: high), bytes: bytes, isResized: fields[4] == "1", version: String(fields[5]))
    }
  }

  var count: Int { results.count }
  func has(_ index: Int) -> Bool { results[index] != nil }

  /// The hash of an image's content; nil where it could not be read.
  func content(of index: Int) -> ContentHash? {
    if case .written(let content, _, _, _)? = results[index] { content } else { nil }
  }

  /// In the order of the images.
  var bad: [String] {
    results.sorted { $0.key < $1.key }.compactMap { if case .bad(let message) = $0.value { message } else { nil } }
  }

  var resized: Int { results.values.count { if case .written(_, _, true, _) = $0 { true } else { false } } }

  func add(_ index: Int, _ result: Result) throws {
    results[index] = result
    guard case .written(let content, let bytes, let isResized, let version) = result else { return }
    try folder.append(
      "\(index) \(String(content.high, radix: 16)) \(String(content.low, radix: 16)) \(bytes) \(isResized ? 1 : 0) \(version)"
    )
  }
}
