import Foundation
import MMoEFiles

/// The folder of a data set of images: splits with class folders, or class folders alone.
struct RootListing {
  static let layout = "DIR/train/<class>/IMAGES and DIR/val/<class>/IMAGES, or DIR/<class>/IMAGES"

  let path: String
  private let listing: FolderListing

  /// - Throws: `DataError` for what is missing or no folder.
  init(_ path: String) throws {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw DataError(path, found: "no such folder", expected: RootListing.layout, remedy: "check the path")
    }
    guard isFolder.boolValue else {
      let kind = FileKind.signed(file: path)
      throw DataError(
        path, found: (kind.map { "\($0.name), " } ?? "") + "not a folder", expected: RootListing.layout,
        remedy: kind == nil ? nil : "`mmoe data import images` reads archives; or unpack it")
    }
    self.path = path
    listing = try FolderListing(path)
  }

  private var folders: [String] { listing.entries.filter(\.isFolder).map(\.name) }

  /// Names that folders of splits have elsewhere.
  static func aliases(_ split: DatasetSplit) -> [String] {
    split == .train ? ["training"] : ["valid", "validation", "test"]
  }

  /// Whether the folder holds class folders and no split, under whatever name.
  var isUndivided: Bool {
    let splits = DatasetSplit.allCases.flatMap { [$0.rawValue] + RootListing.aliases($0) }
    return !folders.isEmpty && !listing.entries.contains { splits.contains($0.name) }
  }

  /// - Throws: `DataError` saying what is there instead.
  func requireSplit(_ split: DatasetSplit) throws {
    let folder = "\(path)/\(split.rawValue)"
    if let entry = listing.entries.first(where: { $0.name == split.rawValue }) {
      guard entry.isFolder else {
        throw DataError(folder, found: "not a folder", expected: RootListing.layout)
      }
      return
    }
    let found = folders.isEmpty ? "no folders" : "the folders \(ImageFolder.abbreviated(folders))"
    let remedy =
      if let name = RootListing.aliases(split).first(where: { folders.contains($0) }) {
        "rename \(name) to \(split.rawValue)\(name == "test" ? " to validate on it" : "")"
      } else if folders.contains(where: { $0 == (split == .train ? "val" : "train") }) {
        "move some images of each class to \(split.rawValue)"
      } else {
        "put the images of each class into a folder of their own"
      }
    throw DataError(
      folder, found: "no such folder (\(path) has \(found))", expected: RootListing.layout, remedy: remedy)
  }

  /// What is beside the splits.
  func leftOut(_ splits: [DatasetSplit]) -> LeftOut {
    var leftOut = listing.leftOut
    for entry in listing.entries where !DatasetSplit.allCases.contains(where: { $0.rawValue == entry.name }) {
      if entry.name == ImageFolder.manifestName { continue }
      leftOut.add(entry.isFolder ? "folders beside train and val" : "files beside train and val", entry.name)
    }
    return leftOut
  }
}

/// The class folders of one folder and their images.
struct ClassListing {
  /// The folder that holds them.
  let path: String
  /// Paths of the images of each class, sorted by the classes' names in canonical composition, then by their own.
  private(set) var files: [(name: String, files: [String])] = []
  private(set) var leftOut: LeftOut
  /// Paths of images of formats that are not read, where the listing goes on behind them.
  private(set) var refused: [String] = []

  var classes: [String] { files.map(\.name) }

  private static let otherFormats: Set<String> = [
    "gif", "bmp", "tif", "tiff", "heic", "heif", "avif", "jxl", "jp2", "ppm", "pgm", "pbm", "pnm", "tga", "svg", "ico",
    "psd",
  ]

  /// - Parameter refuses: whether an image of a format that is not read is an error; else it is noted.
  /// - Throws: `DataError` for a folder without class folders, a class without images or under two names, and images of formats
  ///   that are not read.
  init(_ path: String, refuses: Bool = true) throws {
    self.path = path
    let listing = try FolderListing(path)
    leftOut = listing.leftOut
    var folders: [String: String] = [:]
    for entry in listing.entries {
      guard entry.isFolder else {
        if entry.name == ImageFolder.manifestName { continue }
        let isImage = ImageFormat.reads(entry.name) || ClassListing.isOtherFormat(entry.name)
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
        path, found: "no class folders (\(ClassListing.summary(of: listing.entries.map(\.name))))",
        expected: RootListing.layout)
    }
    for (name, folder) in folders.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
      files.append((name, try list(folder, refuses: refuses)))
    }
  }

  static func isOtherFormat(_ name: String) -> Bool { otherFormats.contains(ImageFormat.suffix(of: name)) }

  /// A name without its suffix.
  static func stem(_ name: String) -> Substring { name.dropLast(ImageFormat.suffix(of: name).count + 1) }

  /// What is in a folder that has no class folders.
  private static func summary(of files: [String]) -> String {
    if files.isEmpty { return "the folder is empty" }
    let hasPictures = files.contains(where: ImageFormat.reads)
    return hasPictures ? "\(ImageFormat.names) files are directly in it" : "only other files are in it"
  }

  /// What is wrong with an image of a format that is not read.
  static func refusal(of file: String) -> DataError {
    DataError(
      file, found: "a .\(ImageFormat.suffix(of: file)) file", expected: "\(ImageFormat.names)",
      remedy: ImageFormat.conversion())
  }

  private mutating func list(_ folder: String, refuses: Bool) throws -> [String] {
    let path = FilePath.join(path, folder)
    let walk = try FolderWalk(path)
    leftOut.add(walk.leftOut, below: folder)
    let images = ImageNames(walk.files)
    var refusedHere = 0
    for name in images.originals {
      leftOut.add("images of which one with the same name and another suffix is used", folder + "/" + name)
    }
    for name in images.others {
      guard ClassListing.isOtherFormat(name) else {
        leftOut.add("files that are no images by their names", folder + "/" + name)
        continue
      }
      let file = FilePath.join(path, name)
      guard !refuses else { throw ClassListing.refusal(of: file) }
      refused.append(file)
      refusedHere += 1
    }
    guard !images.used.isEmpty || refusedHere > 0 else {
      throw DataError(
        path, found: "a class without images", remedy: "add \(ImageFormat.names) files or remove the folder")
    }
    return images.used.map { FilePath.join(path, $0) }
  }
}

/// Names of files, told apart by what they are.
struct ImageNames {
  /// Images, in the order of the names.
  private(set) var used: [String] = []
  /// Images of which another one with the same name in another format is used: what was converted, beside its result.
  private(set) var originals: [String] = []
  private(set) var others: [String] = []

  init(_ names: [String]) {
    var best: [Substring: Int] = [:]
    for name in names {
      guard let rank = ImageFormat.rank(of: name) else { continue }
      let stem = ClassListing.stem(name)
      best[stem] = min(rank, best[stem] ?? rank)
    }
    for name in names {
      if let rank = ImageFormat.rank(of: name) {
        if best[ClassListing.stem(name)] == rank { used.append(name) } else { originals.append(name) }
      } else if ClassListing.isOtherFormat(name), best[ClassListing.stem(name)] != nil {
        originals.append(name)
      } else {
        others.append(name)
      }
    }
  }
}
