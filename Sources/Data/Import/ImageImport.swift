import Foundation
import MMoEFiles
import MMoETensor

/// Images of a folder or an archive as PNG files in the ImageFolder layout, as `mmoe data import images` makes them. The source is only
/// read.
package struct ImageImport {
  package struct Options: Sendable {
    /// Pixels of the shorter side of what is larger; nil = every image keeps its size.
    package var size: Int? = 256
    /// Of each class, for validation, where the source does not say it; nil = 0.1.
    package var validationShare: Double?
    /// A file that says which classes are taken, and what they are called (`ClassList`).
    package var classes: String?
    /// What classes are called instead of what the source calls them.
    package var names: [String: String] = [:]
    /// A file with the classes of validation images that are in no class folders (`ValidationList`).
    package var validationList: String?
    /// At most so many images of each class in training, and in validation.
    package var perClass: Int?
    /// Whether images that cannot be read are left out; else they are an error once all others are imported.
    package var skipsBadImages = false
    /// What the manifest says about the right to use the images.
    package var license: String?
    package var threads = ProcessInfo.processInfo.activeProcessorCount
    package init() {}
  }

  /// What was imported.
  package struct Summary: Sendable {
    /// What the source was taken for, such as `class folders`.
    package let layout: String
    package let classes: Int
    package let train: Int
    package let val: Int
    /// The messages of the images that could not be read.
    package let bad: [String]
    /// What of the source was not used.
    package let leftOut: LeftOut
    /// Images that an interrupted import had done.
    package let resumed: Int
    /// Images that were made smaller.
    package let resized: Int
  }

  /// For help: what can be imported.
  package static let forms = ImportLayout.forms

  private let options: Options

  /// - Throws: `DataError` for an option out of its range.
  package init(_ options: Options = Options()) throws {
    self.options = options
    func require(_ name: String, _ value: Int?, _ range: ClosedRange<Int>) throws {
      guard let value, !range.contains(value) else { return }
      throw DataError(
        field: name, found: "\(value)", expected: "\(range.lowerBound) to \(range.upperBound)")
    }
    try require("--size", options.size, 8...4096)
    try require("--per-class", options.perClass, 2...100_000_000)
    try require("--threads", options.threads, 1...4096)
    if let share = options.validationShare, !(0.0001...0.9).contains(share) {
      throw DataError(field: "--validation-share", found: "\(share)", expected: "0.0001 to 0.9")
    }
  }

  /// Imports a folder, or a tar or zip archive. The folder appears under its name only when it is complete; what an interrupted import
  /// has done is kept beside it, and the same import goes on from there.
  ///
  /// - Parameter progress: told how many images are done, of how many, from several threads in turn.
  /// - Throws: `DataError` for a source of no known layout, damaged files, images that cannot be read, and names that lead elsewhere;
  ///   `FileFailure` for what cannot be written.
  package func run(
    _ source: String, to directory: String, progress: @escaping (_ done: Int, _ total: Int) -> Void = { _, _ in }
  )
    throws -> Summary
  {
    let tree = try ImageImport.tree(source)
    try ImageImport.requireOutside(directory, of: source)
    var plan = try ImportLayout.plan(tree, options)
    if plan.isDivided, options.validationShare != nil {
      throw DataError(
        source, found: "\(plan.layout), which say what is for validation", expected: "no --validation-share",
        remedy: "leave it out")
    }
    if let list = options.validationList, !plan.usesList {
      throw DataError(
        source, found: "\(plan.layout), which need no list of validation images", expected: "no --validation-list",
        remedy: "leave \(list) out")
    }
    try choose(&plan, of: source)
    let targets = try ImportTargets(plan.items)
    let folder = try ResumableFolder(for: directory, key: key(source, plan))
    let results = ImportJournal(folder, plan, tree, targets)
    let resumed = results.count
    progress(resumed, plan.items.count)
    try convert(plan, tree, targets, folder, results, progress)
    let bad = results.bad
    guard bad.isEmpty || options.skipsBadImages else {
      throw DataError(
        source, found: "\(bad.count) of \(plan.items.count) images cannot be read, the first \(bad[0])",
        remedy: "replace them, or repeat the command with --on-bad-image skip; what is done is kept")
    }
    let splits = try divide(plan, results, targets, in: folder, of: source)
    let manifest = ImportManifest(
      source: FilePath.absolute(source), plan: plan, options: options, splits: splits, results: results)
    try writeFile(FilePath.join(folder.path, ImageFolder.manifestName), manifest.json)
    try folder.commit()
    return Summary(
      layout: plan.layout, classes: Set(plan.items.map(\.className)).count, train: splits.count { $0 == .train },
      val: splits.count { $0 == .val }, bad: bad, leftOut: plan.leftOut, resumed: resumed, resized: results.resized)
  }

  private static func tree(_ source: String) throws -> any SourceTree {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: source, isDirectory: &isFolder) else {
      throw DataError(source, found: "no such file or folder", expected: "a folder, or a tar or zip archive")
    }
    if isFolder.boolValue { return try FolderTree(source) }
    if let kind = FileKind.signed(file: source), kind.isImage || kind.isTable {
      throw DataError(
        source, found: kind.name, expected: ImportLayout.shortForm,
        remedy: kind.isImage ? "name the folder that the class folders are in" : ImportLayout.fromTable)
    }
    return try ArchiveTree(source)
  }

  /// A folder in the source would be one of its classes the next time.
  private static func requireOutside(_ directory: String, of source: String) throws {
    // The folder itself is not there yet.
    let parent = FilePath.resolved(FilePath.absolute(FilePath.folder(of: FilePath.withoutTrailingSlashes(directory))))
    guard (parent + "/").utf8.starts(with: (FilePath.resolved(FilePath.absolute(source)) + "/").utf8) else { return }
    throw DataError(
      field: "--out", found: "\(directory), inside of \(source)", expected: "a folder outside of the source",
      remedy: "name one beside it")
  }

  /// Leaves the classes and images that the options name.
  private func choose(_ plan: inout ImportPlan, of source: String) throws {
    if let file = options.classes {
      let list = try ClassList(file)
      try list.require(in: Set(plan.items.map(\.className)), of: source)
      plan.items = plan.items.compactMap { item in
        guard let name = list.names[item.className] else { return nil }
        var item = item
        item.className = name
        return item
      }
    }
    for index in plan.items.indices {
      if let name = options.names[plan.items[index].className] { plan.items[index].className = name }
    }
    guard Set(plan.items.map(\.className)).count > 1 else {
      throw DataError(
        source, found: "one class (\(plan.items[0].className))", expected: "at least two classes",
        remedy: "a folder of the images of each class is needed")
    }
    guard let most = options.perClass else { return }
    // By a draw of each image's own, so that a larger number takes the same ones and more.
    var byPart: [String: [Int]] = [:]
    for (index, item) in plan.items.enumerated() {
      byPart["\(item.split?.rawValue ?? "")/\(item.className)", default: []].append(index)
    }
    func draw(_ index: Int) -> UInt64 {
      CounterRandom.hash("\(plan.items[index].className)/\(plan.items[index].stem)")
    }
    let taken = Set(byPart.values.flatMap { $0.sorted { (draw($0), $0) < (draw($1), $1) }.prefix(most) })
    plan.items = plan.items.enumerated().filter { taken.contains($0.offset) }.map(\.element)
  }

  /// What must be the same for an interrupted import to be continued.
  private func key(_ source: String, _ plan: ImportPlan) -> String {
    let hasher = ContentHasher()
    for item in plan.items {
      hasher.add("\(item.split?.rawValue ?? "")/\(item.className)/\(item.file)/\(item.record ?? 0)")
    }
    return oneLine(
      "mmoe import 1 \(hasher.value.name) size \(options.size ?? 0) of \(FilePath.absolute(source))")
  }

  /// Decodes, resizes and writes all images that are not done.
  private func convert(
    _ plan: ImportPlan, _ tree: any SourceTree, _ targets: ImportTargets, _ folder: ResumableFolder,
    _ results: ImportJournal, _ progress: @escaping (Int, Int) -> Void
  ) throws {
    try targets.makeFolders(in: folder.path)
    let total = plan.items.count
    var byFile: [String: [Int]] = [:]
    for index in plan.items.indices where !results.has(index) {
      byFile[plan.items[index].file, default: []].append(index)
    }
    let reader = try ImportReader(plan, tree, byFile, size: options.size)
    let (options, paths, root) = (options, targets.paths, folder.path)
    try OrderedPipeline<ImportReader.Work, (Int, ImportJournal.Result)>.run(
      threads: options.threads, read: { try reader.next() },
      work: { work in
        let picture: (image: RGBImage, isResized: Bool)
        do {
          picture = try work.decoded().fitted(shorterSide: options.size)
        } catch let error as DataError {
          return (work.index, .bad(error.description))
        }
        let file = try picture.image.png(compression: 4)
        try writeFile(FilePath.join(root, paths[work.index]), file)
        return (
          work.index, .written(work.content, bytes: file.count, isResized: picture.isResized, version: work.version)
        )
      },
      deliver: { index, result in
        try results.add(index, result)
        progress(results.count, total)
      })
    guard results.count == total else {
      throw DataError(
        tree.path, found: "\(total - results.count) of its \(total) images gone since it was listed",
        expected: "the same files",
        remedy: "leave the source unchanged meanwhile, and repeat the command")
    }
  }

  /// The part that every image goes to; nil for those that could not be read. Of a source that does not say it, images are moved.
  private func divide(
    _ plan: ImportPlan, _ results: ImportJournal, _ targets: ImportTargets, in folder: ResumableFolder,
    of source: String
  ) throws -> [DatasetSplit?] {
    let good = plan.items.indices.filter { results.content(of: $0) != nil }
    var splits = [DatasetSplit?](repeating: nil, count: plan.items.count)
    let classes = Set(plan.items.map(\.className)).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    if plan.isDivided {
      for index in good { splits[index] = plan.items[index].split }
      for split in DatasetSplit.allCases {
        let present = Set(good.filter { splits[$0] == split }.map { plan.items[$0].className })
        if let name = classes.first(where: { !present.contains($0) }) {
          throw DataError(
            source, found: "no image of \(name) for \(split.rawValue) that can be read", expected: "at least one")
        }
      }
      return splits
    }
    let number = Dictionary(uniqueKeysWithValues: classes.enumerated().map { ($1, $0) })
    let split = try ContentSplit(
      contents: good.compactMap { results.content(of: $0) }, labels: good.map { number[plan.items[$0].className] ?? 0 },
      classes: classes, share: options.validationShare ?? 0.1, of: source)
    try targets.removeParts(in: folder.path)
    for (index, isForValidation) in zip(good, split.isForValidation) {
      splits[index] = isForValidation ? .val : .train
      try targets.move(index, to: isForValidation ? .val : .train, in: folder.path)
    }
    try targets.removeUndivided(in: folder.path)
    return splits
  }
}
