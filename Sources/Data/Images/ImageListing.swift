import Foundation
import MMoEFiles

/// The folder that holds the splits of an image folder.
struct RootListing {
  static let layout = "DIR/train/<class>/*.png and DIR/val/<class>/*.png"

  let path: String
  private let listing: FolderListing

  /// - Throws: `DataError` for what is missing or no folder.
  init(_ path: String) throws {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw DataError("\(path): no such folder; expected \(RootListing.layout); check the path")
    }
    guard isFolder.boolValue else {
      let kind = FileKind.signed(file: path).map { "\($0.name), not a folder; \($0.remedy)" } ?? "not a folder"
      throw DataError("\(path): \(kind); expected \(RootListing.layout)")
    }
    self.path = path
    listing = try FolderListing(path)
  }

  /// - Throws: `DataError` saying what is there instead.
  func requireSplit(_ split: DatasetSplit) throws {
    let folder = "\(path)/\(split.rawValue)"
    if let entry = listing.entries.first(where: { $0.name == split.rawValue }) {
      guard entry.isFolder else { throw DataError("\(folder): not a folder; expected \(RootListing.layout)") }
      return
    }
    let folders = listing.entries.filter(\.isFolder).map(\.name)
    let found = folders.isEmpty ? "no folders" : "the folders \(ImageFolder.abbreviated(folders))"
    let other = split == .train ? ["training"] : ["valid", "validation", "test"]
    let remedy =
      if let name = other.first(where: { folders.contains($0) }) {
        "rename \(name) to \(split.rawValue)\(name == "test" ? " to validate on it" : "")"
      } else if folders.contains(where: { $0 == (split == .train ? "val" : "train") }) {
        "move some images of each class to \(split.rawValue)"
      } else {
        "move the class folders to DIR/train, and some images of each class to DIR/val"
      }
    throw DataError(
      "\(folder): no such folder (\(path) has \(found)); expected \(RootListing.layout); \(remedy)")
  }

  /// What is beside the splits.
  func leftOut(_ splits: [DatasetSplit]) -> LeftOut {
    var leftOut = listing.leftOut
    for entry in listing.entries where !DatasetSplit.allCases.contains(where: { $0.rawValue == entry.name }) {
      leftOut.add(entry.isFolder ? "folders beside train and val" : "files beside train and val", entry.name)
    }
    return leftOut
  }
}

/// The class folders of one split and their files.
struct SplitListing {
  let split: DatasetSplit
  /// Paths of the images of each class, sorted by the classes' names in canonical composition, then by their own.
  private(set) var files: [(name: String, files: [String])] = []
  private(set) var leftOut: LeftOut

  var classes: [String] { files.map(\.name) }

  private static let otherFormats: Set<String> = [
    "jpg", "jpeg", "jpe", "jfif", "gif", "bmp", "tif", "tiff", "webp", "heic", "heif", "avif", "jxl", "jp2", "ppm",
    "pgm",
    "pbm", "pnm", "tga", "svg", "ico", "psd",
  ]

  /// - Throws: `DataError` for a split without class folders, a class without images or under two names, and images that
  ///   are not PNG.
  init(_ split: DatasetSplit, _ root: RootListing) throws {
    try root.requireSplit(split)
    self.split = split
    let path = "\(root.path)/\(split.rawValue)"
    let listing = try FolderListing(path)
    leftOut = listing.leftOut
    var folders: [String: String] = [:]
    for entry in listing.entries {
      guard entry.isFolder else {
        let isImage = ImageFormat.reads(entry.name) || SplitListing.isOtherFormat(entry.name)
        leftOut.add(isImage ? "images beside class folders" : "files that are no images by their names", entry.name)
        continue
      }
      guard !entry.name.contains("\n") else {
        throw DataError(
          "\(path)/\(entry.name)", found: "a line break in a class's name", expected: "one line",
          remedy: "rename the folder")
      }
      // A zip file made on a Mac has decomposed names: the same letters, other bytes.
      let name = entry.name.precomposedStringWithCanonicalMapping
      if let other = folders.updateValue(entry.name, forKey: name) {
        throw DataError(
          "\(path)/\(entry.name)",
          found:
            "the same name as another folder beside it in other bytes (\(hex(other.utf8)) and \(hex(entry.name.utf8)))",
          remedy: "put their images into one")
      }
    }
    guard !folders.isEmpty else {
      throw DataError(
        "\(path): no class folders (\(SplitListing.summary(of: listing.entries.map(\.name)))); expected \(RootListing.layout)"
      )
    }
    for (name, folder) in folders.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
      files.append((name, try list(folder, of: path)))
    }
  }

  private static func isOtherFormat(_ name: String) -> Bool { otherFormats.contains(ImageFormat.suffix(of: name)) }

  /// A name without its ending.
  private static func stem(_ name: String) -> Substring { name.dropLast(ImageFormat.suffix(of: name).count + 1) }

  /// What is in a split that has no class folders.
  private static func summary(of files: [String]) -> String {
    if files.isEmpty { return "the folder is empty" }
    let hasPictures = files.contains(where: ImageFormat.reads)
    return hasPictures ? "\(ImageFormat.names) files are directly in it" : "only other files are in it"
  }

  private mutating func list(_ folder: String, of split: String) throws -> [String] {
    let path = FilePath.join(split, folder)
    let walk = try FolderWalk(path)
    leftOut.add(walk.leftOut, below: folder)
    let pictures = walk.files.filter(ImageFormat.reads)
    let stems = Set(pictures.map(SplitListing.stem))
    for name in walk.files where !ImageFormat.reads(name) {
      guard SplitListing.isOtherFormat(name) else {
        leftOut.add("files that are no images by their names", folder + "/" + name)
        continue
      }
      guard stems.contains(SplitListing.stem(name)) else {
        throw DataError(
          "\(path)/\(name)", found: "a .\(ImageFormat.suffix(of: name)) file", expected: "\(ImageFormat.names)",
          remedy: "convert it (`mogrify -format png FILE`), the original may stay")
      }
      leftOut.add("originals of \(ImageFormat.names) files beside them", folder + "/" + name)
    }
    guard !pictures.isEmpty else {
      throw DataError(
        path, found: "a class without images", remedy: "add \(ImageFormat.names) files or remove the folder")
    }
    return pictures.map { FilePath.join(path, $0) }
  }
}
