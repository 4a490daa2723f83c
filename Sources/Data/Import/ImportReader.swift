import MMoEFiles

/// Gives the images of a source one after the other, as they are read. One thread at a time calls it.
final class ImportReader {
  struct Work {
    let index: Int
    let content: ContentHash
    /// The source's file as it is (`SourceTree.version`).
    let version: String
    /// Throws `DataError` for what is no image that can be read.
    let decoded: () throws -> RGBImage
  }

  private let plan: ImportPlan
  private let byFile: [String: [Int]]
  private let tree: any SourceTree
  private let reader: () throws -> SourceFile?
  private let size: Int?
  private var waiting: ArraySlice<Int> = []
  private var records: (file: any RecordFile, version: String)?

  /// - Parameters:
  ///   - byFile: the items that are wanted of each file.
  ///   - size: pixels of the shorter side that are needed.
  /// - Throws: `DataError` for an archive that cannot be read.
  init(_ plan: ImportPlan, _ tree: any SourceTree, _ byFile: [String: [Int]], size: Int?) throws {
    (self.plan, self.tree, self.byFile, self.size) = (plan, tree, byFile, size)
    let limit = plan.openRecords == nil ? 2 * ImageLimits.standard.bytes : 1 << 30
    reader = try tree.reader(of: Set(byFile.keys), limit: limit)
  }

  /// - Throws: `DataError` for a file of many images that cannot be read, and for a damaged archive.
  func next() throws -> Work? {
    if let index = waiting.popFirst(), let records { return record(index, records.file, records.version) }
    guard let file = try reader(), let items = byFile[file.name] else { return nil }
    let name = FilePath.join(tree.path, file.name)
    let version = tree.version(of: file.name)
    if let open = plan.openRecords {
      let opened = try open(name, file.content.get())
      records = (opened, version)
      waiting = items.dropFirst()
      return record(items[0], opened, version)
    }
    switch file.content {
    case .failure(let error):
      return Work(index: items[0], content: ContentHash([]), version: version) { throw error }
    case .success(let bytes):
      // Twice what is needed leaves the last step, which is sharp, to the resampler.
      let atLeast = 2 * (size ?? 0)
      return Work(index: items[0], content: ContentSplit.content(of: bytes), version: version) {
        try RGBImage(decoding: bytes, name: name, atLeast: atLeast)
      }
    }
  }

  private func record(_ index: Int, _ file: any RecordFile, _ version: String) -> Work {
    let image = file.image(at: plan.items[index].record ?? 0)
    return Work(index: index, content: ContentSplit.content(of: image.pixels), version: version) { image }
  }
}
