import Foundation
import MMoEFiles

/// The paths of the images that an import writes, below its folder.
struct ImportTargets {
  /// Of every item. What is not divided yet is below `undivided`.
  private(set) var paths: [String] = []
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
    guard rename(FilePath.join(root, paths[index]), target) == 0 else {
      throw DataError(target, found: "cannot be written: \(systemReason(errno))")
    }
  }

  /// Removes the folder that images were moved from.
  ///
  /// - Throws: `DataError` where it stays.
  func removeUndivided(in root: String) throws {
    try ImportTargets.remove(FilePath.join(root, ImportTargets.undivided))
  }

  /// Removes parts that an interrupted import had begun to fill, perhaps by another share: their images have been made again.
  ///
  /// - Throws: `DataError` where one stays.
  func removeParts(in root: String) throws {
    for split in DatasetSplit.allCases { try ImportTargets.remove(FilePath.join(root, split.rawValue)) }
  }

  private static func remove(_ folder: String) throws {
    guard FileManager.default.fileExists(atPath: folder) else { return }
    do {
      try FileManager.default.removeItem(atPath: folder)
    } catch {
      throw DataError(folder, found: "cannot be removed: \(systemReason(of: error))")
    }
  }

  private static func make(_ folder: String) throws {
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw DataError(folder, found: "cannot be created: \(systemReason(of: error))")
    }
  }
}
