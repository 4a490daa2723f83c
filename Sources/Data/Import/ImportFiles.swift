import Foundation
import MMoEFiles

/// The paths of the images that an import writes, below its folder.
struct ImportTargets {
  /// Of every item. What is not divided yet is below `undivided`.
  private(set) var paths: [String] = []
  private let classes: [String]
  private static let undivided = "undivided"

  /// - Throws: `DataError` for a class whose name cannot be a folder's.
  init(_ items: [ImportItem]) throws {
    var taken = Set<String>()
    var names = Set<String>()
    for item in items {
      let name = item.className.precomposedStringWithCanonicalMapping
      if names.insert(name).inserted { try ImportTargets.require(name, item.file) }
      let folder = "\(item.split?.rawValue ?? ImportTargets.undivided)/\(name)"
      let stem = ImportTargets.fileName(item.stem)
      var path = "\(folder)/\(stem).png"
      // Names that differ in what a file's name cannot hold, or in their suffix alone.
      var number = 2
      while !taken.insert(path).inserted {
        path = "\(folder)/\(stem)-\(number).png"
        number += 1
      }
      paths.append(path)
    }
    classes = names.sorted()
  }

  private static func require(_ name: String, _ file: String) throws {
    let isUsable =
      !name.isEmpty && !name.hasPrefix(".") && name.utf8.count <= 255 && !name.contains("/")
      && !name.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7F }
    guard isUsable else {
      throw DataError(
        file, found: "a class called '\(name)'", expected: "a name that a folder can have", remedy: "rename it")
    }
  }

  /// A name without what terminals and file systems take amiss, of at most 200 bytes.
  private static func fileName(_ stem: String) -> String {
    var name = ""
    for scalar in stem.unicodeScalars {
      name.unicodeScalars.append(scalar.value < 0x20 || scalar.value == 0x7F || scalar == "/" ? "_" : scalar)
    }
    if name.isEmpty || name.hasPrefix(".") { name = "_" + name }
    guard name.utf8.count > 200 else { return name }
    let hash = ContentHash(Array(name.utf8)).shortName
    while name.utf8.count > 180 { name.removeLast() }
    return "\(name)-\(hash)"
  }

  func makeFolders(in root: String) throws {
    for folder in Set(paths.map(FilePath.folder)) {
      try ImportTargets.make(FilePath.join(root, folder))
    }
  }

  /// Moves an image that was not divided to its part.
  func move(_ index: Int, to split: DatasetSplit, in root: String) throws {
    let name = paths[index].dropFirst(ImportTargets.undivided.count + 1)
    let target = FilePath.join(root, "\(split.rawValue)/\(name)")
    try ImportTargets.make(FilePath.folder(of: target))
    guard rename(FilePath.join(root, paths[index]), target) == 0 || FileManager.default.fileExists(atPath: target)
    else {
      throw DataError(target, found: "cannot be written: \(systemReason(errno))")
    }
  }

  /// Removes the folders that images were moved from, and what could not be read there.
  func removeUndivided(in root: String) throws {
    try? FileManager.default.removeItem(atPath: FilePath.join(root, ImportTargets.undivided))
  }

  private static func make(_ folder: String) throws {
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw DataError(folder, found: "cannot be created: \(systemReason(of: error))")
    }
  }
}

/// What became of every image, kept in the journal of the folder, so that an interrupted import goes on where it was.
final class ImportJournal {
  enum Result {
    /// The hash of the source's file or pixels, and the size of the PNG file.
    case written(ContentHash, bytes: Int, isResized: Bool)
    /// Why it cannot be read.
    case bad(String)
  }

  private let folder: ResumableFolder
  private var results: [Int: Result] = [:]

  /// Takes over what an earlier process has written, as far as its files are there and whole. Images that it could not read are tried
  /// again.
  init(_ folder: ResumableFolder, _ targets: ImportTargets) throws {
    self.folder = folder
    for line in folder.done {
      let fields = line.split(separator: " ")
      guard fields.count == 5, let index = Int(fields[0]), targets.paths.indices.contains(index),
        let high = UInt64(fields[1], radix: 16), let low = UInt64(fields[2], radix: 16), let bytes = Int(fields[3]),
        (try? fileSize(FilePath.join(folder.path, targets.paths[index]))) == bytes
      else { continue }
      results[index] = .written(ContentHash(low: low, high: high), bytes: bytes, isResized: fields[4] == "1")
    }
  }

  var count: Int { results.count }
  func has(_ index: Int) -> Bool { results[index] != nil }

  /// The hash of an image's content; nil where it could not be read.
  func content(of index: Int) -> ContentHash? {
    if case .written(let content, _, _)? = results[index] { content } else { nil }
  }

  /// In the order of the images.
  var bad: [String] {
    results.sorted { $0.key < $1.key }.compactMap { if case .bad(let message) = $0.value { message } else { nil } }
  }

  var resized: Int { results.values.count { if case .written(_, _, true) = $0 { true } else { false } } }

  func add(_ index: Int, _ result: Result) throws {
    results[index] = result
    guard case .written(let content, let bytes, let isResized) = result else { return }
    try folder.append(
      "\(index) \(String(content.high, radix: 16)) \(String(content.low, radix: 16)) \(bytes) \(isResized ? 1 : 0)")
  }
}

/// Gives the images of a source one after the other, as they are read. One thread at a time calls it.
final class ImportReader {
  struct Work {
    let index: Int
    fileprivate let source: Source
    let content: ContentHash
    fileprivate let name: String
    fileprivate let atLeast: Int

    fileprivate enum Source {
      case file([UInt8])
      case record(any RecordFile, Int)
      case unreadable(DataError)
    }

    /// Throws `DataError` for what is no image that can be read.
    func decoded() throws -> RGBImage {
      switch source {
      case .file(let bytes): try RGBImage(decoding: bytes, name: name, atLeast: atLeast)
      case .record(let file, let number): file.image(at: number)
      case .unreadable(let error): throw error
      }
    }
  }

  private let plan: ImportPlan
  private let byFile: [String: [Int]]
  private let reader: () throws -> SourceFile?
  private let size: Int?
  private let root: String
  private var waiting: ArraySlice<Int> = []
  private var records: (any RecordFile)?

  /// - Parameters:
  ///   - byFile: the items that are wanted of each file.
  ///   - size: pixels of the shorter side that are needed.
  ///   - root: what the names of files are below, for messages.
  init(
    _ plan: ImportPlan, _ byFile: [String: [Int]], size: Int?, root: String,
    _ reader: @escaping () throws -> SourceFile?
  ) {
    (self.plan, self.byFile, self.reader, self.size, self.root) = (plan, byFile, reader, size, root)
  }

  func next() throws -> Work? {
    // Twice what is needed leaves the last step, which is sharp, to the resampler.
    let atLeast = 2 * (size ?? 0)
    if let index = waiting.popFirst(), let records { return record(index, records) }
    guard let file = try reader(), let items = byFile[file.name] else { return nil }
    let name = FilePath.join(root, file.name)
    switch file.content {
    case .failure(let error):
      return Work(index: items[0], source: .unreadable(error), content: ContentHash([]), name: name, atLeast: 0)
    case .success(let bytes):
      if let open = plan.openRecords {
        let opened = try open(name, bytes)
        records = opened
        waiting = items.dropFirst()
        return record(items[0], opened)
      }
      return Work(
        index: items[0], source: .file(bytes), content: ContentSplit.content(of: bytes), name: name, atLeast: atLeast)
    }
  }

  private func record(_ index: Int, _ file: any RecordFile) -> Work {
    let number = plan.items[index].record ?? 0
    return Work(
      index: index, source: .record(file, number), content: ContentSplit.content(of: file.image(at: number).pixels),
      name: "",
      atLeast: 0)
  }
}

extension RGBImage {
  /// The picture with its shorter side made as small as `shorterSide`, and whether it was larger.
  func fitted(shorterSide: Int?) -> (image: RGBImage, isResized: Bool) {
    guard let side = shorterSide, min(width, height) > side else { return (self, false) }
    let scale = Double(side) / Double(min(width, height))
    let (columns, rows) = (
      max(side, Int((Double(width) * scale).rounded())), max(side, Int((Double(height) * scale).rounded()))
    )
    let bytes = PixelNormalization(mean: .zero, deviation: SIMD3(repeating: 1 / 255))
    let plane = columns * rows
    let values = UnsafeMutablePointer<Float>.allocate(capacity: 3 * plane)
    defer { values.deallocate() }
    Resampler(width: columns, height: rows, normalization: bytes).render(self, ImageView(whole: self), into: values)
    let pixels = [UInt8](unsafeUninitializedCapacity: 3 * plane) { target, count in
      for place in 0..<plane {
        for channel in 0..<3 {
          target[3 * place + channel] = UInt8(min(max(values[channel * plane + place], 0), 255).rounded())
        }
      }
      count = 3 * plane
    }
    return (RGBImage(width: columns, height: rows, pixels: pixels), true)
  }
}
