import MMoEFiles
import MMoETensor

/// Numbers in names of files, so that they sort.
func paddedNumber(_ number: Int) -> String {
  String(repeating: "0", count: max(0, 5 - "\(number)".count)) + "\(number)"
}

/// One image of a source.
struct ImportItem {
  /// The file of the tree that holds it.
  var file: String
  /// Its number in a file of many images; nil where the file is the image.
  var record: Int?
  var className: String
  /// Nil where the source does not say it.
  let split: DatasetSplit?
  /// What its file will be called, without suffix.
  var stem: String
}

/// All images of a source, and how they are told apart.
struct ImportPlan {
  /// What the source was taken for, such as `class folders`.
  let layout: String
  var items: [ImportItem]
  var leftOut = LeftOut()
  /// Whether a list says the classes of validation images.
  var usesList = false
  /// Opens a file that holds many images; nil where every file is an image.
  var openRecords: (@Sendable (_ file: String, _ bytes: [UInt8]) throws -> any RecordFile)?

  /// Whether the source says which images are for validation.
  var isDivided: Bool { items.first.map { $0.split != nil } ?? false }
}

/// The files of a source below the folder that its layout begins in, which archives often have one or two folders down.
struct ImportSource {
  let tree: any SourceTree
  /// The folder in the tree, with a slash behind it; nothing for the tree itself.
  let prefix: String
  /// The names below it.
  let names: [String]
  private let known: Set<String>

  init(_ tree: any SourceTree, below prefix: String = "") {
    (self.tree, self.prefix) = (tree, prefix)
    names = tree.names.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
    known = Set(names)
  }

  /// The source one folder down, where everything is in one folder.
  var below: ImportSource? {
    guard let slash = names.first?.firstIndex(of: "/") else { return nil }
    let folder = names[0][...slash]
    return names.allSatisfy { $0.hasPrefix(folder) } ? ImportSource(tree, below: prefix + folder) : nil
  }

  func has(_ name: String) -> Bool { known.contains(name) }

  /// A file's place for messages.
  func place(_ name: String) -> String { "\(tree.path)/\(prefix)\(name)" }

  /// The lines of a small text.
  func lines(_ name: String) throws -> [String] {
    String(decoding: try tree.read(prefix + name, limit: 64 << 20), as: UTF8.self)
      .split(whereSeparator: \.isNewline).map(String.init)
  }

  /// The images below a folder by the folder directly in it that they are in; what is directly in it, has no class.
  func classes(in folder: String) -> (images: [(name: String, className: String)], loose: [String], leftOut: LeftOut) {
    var leftOut = LeftOut()
    let inside = names.filter { $0.hasPrefix(folder) }
    let names = ImageNames(inside)
    for name in names.originals {
      leftOut.add("images of which one with the same name and another suffix is used", name)
    }
    for name in names.others {
      leftOut.add(
        ClassListing.isOtherFormat(name)
          ? "images of formats that are not read" : "files that are no images by their names", name)
    }
    var images: [(String, String)] = []
    var loose: [String] = []
    for name in names.used {
      let rest = name.dropFirst(folder.count)
      if let slash = rest.firstIndex(of: "/") {
        images.append((name, String(rest[..<slash])))
      } else {
        loose.append(name)
      }
    }
    return (images, loose, leftOut)
  }
}

/// What a source can look like. The first layout that fits is used.
struct ImportLayout: Sendable {
  /// The images, or nil where the source looks otherwise. Throws `DataError` where it fits and is damaged.
  let plan: @Sendable (ImportSource, ImageImport.Options) throws -> ImportPlan?

  static let table = [
    CIFARLayout.binary, CIFARLayout.python, IDXLayout.layout, FolderLayouts.divided, FolderLayouts.classes,
  ]

  /// For help and messages.
  static let forms =
    "train and val folders or class folders alone (of files or in one tar or zip), ImageNet's and Tiny ImageNet's trees, CIFAR-10's and CIFAR-100's binary or Python files, or idx files as MNIST's"

  /// What to do with Parquet and other tables of images.
  static let fromTable =
    "write its images to files (in Python `datasets.load_dataset(…)`, then `image.save(f'{label}/{number}.png')`)"

  /// For messages.
  static let shortForm = "a folder of images for each class, or another layout (`mmoe data import images --help`)"

  /// The plan of the layout that fits, in the source or in the folders that hold all of it.
  ///
  /// - Throws: `DataError` where none fits.
  static func plan(_ tree: any SourceTree, _ options: ImageImport.Options) throws -> ImportPlan {
    guard !tree.names.isEmpty else {
      throw DataError(tree.path, found: "empty", expected: shortForm)
    }
    var source: ImportSource? = ImportSource(tree)
    while let here = source {
      for layout in table {
        guard var plan = try layout.plan(here, options) else { continue }
        for index in plan.items.indices { plan.items[index].file = here.prefix + plan.items[index].file }
        plan.leftOut.add(tree.leftOut)
        return plan
      }
      source = here.below
    }
    throw refusal(tree)
  }

  private static func refusal(_ tree: any SourceTree) -> DataError {
    let images = ImageNames(tree.names)
    if images.used.isEmpty {
      if let other = images.others.first(where: { ["parquet", "arrow"].contains(ImageFormat.suffix(of: $0)) }) {
        return DataError(
          "\(tree.path)/\(other)", found: "a .\(ImageFormat.suffix(of: other)) file, which is not read",
          expected: shortForm,
          remedy: fromTable)
      }
      if let other = images.others.first(where: ClassListing.isOtherFormat) {
        return DataError(
          "\(tree.path)/\(other)", found: "a .\(ImageFormat.suffix(of: other)) file, which is not read",
          expected: ImageFormat.names, remedy: "convert copies of the images (`mogrify -path OUT -format png FILES`)")
      }
      if let archive = images.others.first(where: { ["tar", "zip", "gz", "tgz"].contains(ImageFormat.suffix(of: $0)) })
      {
        return DataError(
          "\(tree.path)/\(archive)", found: "an archive in the source", expected: shortForm,
          remedy: tree is FolderTree
            ? "name the archive itself, or unpack it" : "unpack the outer archive, then the inner ones")
      }
      return DataError(
        tree.path, found: "no \(ImageFormat.names) files (of \(tree.names.count) files, such as \(tree.names[0]))",
        expected: shortForm)
    }
    return DataError(
      tree.path, found: "\(images.used.count) images without class folders, such as \(images.used[0])",
      expected: shortForm,
      remedy: "put the images of each class into a folder of their own")
  }
}

/// A file of many raw images.
protocol RecordFile: Sendable {
  /// The image of a number below the count.
  func image(at index: Int) -> RGBImage
}
