import Foundation

/// The images of one split, sorted by class and file name.
public struct ImageSet: Sendable {
  public let split: DatasetSplit
  /// Class names, sorted; a label is an index into them.
  public let classes: [String]
  /// Every image's path and label, sorted by class, then by name.
  public let images: [Entry]
  /// Images of which training draws one in a pass over the data, such as the variants of one emoji; nil = every image
  /// stands for itself.
  public let groups: [[Int]]?

  /// One image file.
  public struct Entry: Sendable, Equatable {
    public let path: String
    public let label: Int32

    public init(path: String, label: Int32) {
      self.path = path
      self.label = label
    }
  }

  public init(split: DatasetSplit, classes: [String], images: [Entry], groups: [[Int]]? = nil) {
    self.split = split
    self.classes = classes
    self.images = images
    self.groups = groups
  }

  public var count: Int { images.count }
  /// Images that a pass over the data shows in training.
  public var drawnCount: Int { groups?.count ?? count }
}

/// A folder of PNG files in the ImageFolder layout: `train/<class>/*.png` and `val/<class>/*.png`.
///
/// Hidden files and files that are no images (lists, notes) are passed over. An image in another format is an
/// error: leaving it out silently would train on less than the user thinks.
public struct ImageFolder: Sendable {
  public let path: String
  /// Class names, sorted; the same for every split.
  public let classes: [String]
  private let sets: [DatasetSplit: ImageSet]

  /// Lists the files of the given splits; opens none of them.
  ///
  /// - Throws: `DataError` for a missing or empty folder, a class without images, images that are not PNG, and
  ///   classes that differ between the splits.
  public init(path: String, splits: [DatasetSplit] = DatasetSplit.allCases) throws {
    try ImageFolder.requireDirectory(path, of: path)
    var sets: [DatasetSplit: ImageSet] = [:]
    for split in splits {
      sets[split] = try ImageFolder.list(path + "/" + split.rawValue, split: split, root: path)
    }
    if let train = sets[.train], let val = sets[.val] {
      try ImageFolder.requireEqualClasses(train, val, root: path)
    }
    self.path = path
    self.sets = sets
    classes = splits.first.flatMap { sets[$0]?.classes } ?? []
  }

  /// The images of a split.
  ///
  /// - Throws: `DataError` when the folder was opened without that split.
  public subscript(split: DatasetSplit) -> ImageSet {
    get throws {
      guard let set = sets[split] else {
        throw DataError("\(path): the split \(split.rawValue) was not opened")
      }
      return set
    }
  }

  private static let layout = "DIR/train/<class>/*.png and DIR/val/<class>/*.png"
  private static let otherFormats: Set<String> = [
    "jpg", "jpeg", "jpe", "jfif", "gif", "bmp", "tif", "tiff", "webp", "heic", "avif", "ppm",
  ]

  private static func requireDirectory(_ path: String, of root: String) throws {
    var isDirectory: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
      throw DataError(
        "\(path): no such folder; expected \(layout); `mmoe data synthesize \(root)` makes one")
    }
    guard isDirectory.boolValue else {
      throw DataError("\(path): not a folder; expected \(layout)")
    }
  }

  /// The names in a folder that are not hidden, sorted by their bytes (the same on every system).
  private static func names(in path: String) throws -> [String] {
    do {
      return try FileManager.default.contentsOfDirectory(atPath: path)
        .filter { !$0.hasPrefix(".") }
        .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    } catch {
      throw DataError("\(path): the folder cannot be read; check its permissions")
    }
  }

  private static func list(_ path: String, split: DatasetSplit, root: String) throws -> ImageSet {
    try requireDirectory(path, of: root)
    let entries = try names(in: path)
    var classes: [String] = []
    for name in entries {
      var isDirectory: ObjCBool = false
      if FileManager.default.fileExists(atPath: path + "/" + name, isDirectory: &isDirectory),
        isDirectory.boolValue
      {
        classes.append(name)
      }
    }
    guard !classes.isEmpty else {
      throw DataError("\(path): no class folders (\(summary(of: entries))); expected \(layout)")
    }
    var images: [ImageSet.Entry] = []
    for (label, name) in classes.enumerated() {
      let files = try listClass(path + "/" + name)
      images += files.map { ImageSet.Entry(path: $0, label: Int32(label)) }
    }
    return ImageSet(split: split, classes: classes, images: images)
  }

  /// What lies in a split that has no class folders.
  private static func summary(of files: [String]) -> String {
    if files.isEmpty { return "the folder is empty" }
    let hasPictures = files.contains { $0.lowercased().hasSuffix(".png") }
    return hasPictures ? "PNG files lie directly in it" : "only other files lie in it"
  }

  private static func listClass(_ path: String) throws -> [String] {
    var files: [String] = []
    for name in try names(in: path) {
      let suffix = name.split(separator: ".").last.map { $0.lowercased() } ?? ""
      if suffix == "png" {
        files.append(path + "/" + name)
      } else if otherFormats.contains(suffix) {
        throw DataError(
          "\(path)/\(name): a .\(suffix) file, expected PNG; convert it "
            + "(`mogrify -format png FILE`) and remove the original")
      }
    }
    guard !files.isEmpty else {
      throw DataError("\(path): a class without images; add PNG files or remove the folder")
    }
    return files
  }

  private static func requireEqualClasses(_ train: ImageSet, _ val: ImageSet, root: String) throws {
    guard train.classes != val.classes else { return }
    let onlyTrain = Set(train.classes).subtracting(val.classes).sorted()
    let onlyVal = Set(val.classes).subtracting(train.classes).sorted()
    let parts = [("train", onlyTrain), ("val", onlyVal)].filter { !$0.1.isEmpty }
      .map { "only in \($0.0): " + abbreviated($0.1) }
    throw DataError(
      "\(root): the classes of train and val differ (\(parts.joined(separator: "; "))); "
        + "both need the same class folders")
  }

  /// At most five names, then how many more there are.
  private static func abbreviated(_ names: [String]) -> String {
    let shown = names.prefix(5).joined(separator: ", ")
    return names.count > 5 ? "\(shown) and \(names.count - 5) more" : shown
  }
}
