import Foundation
import Testing

@testable import MMoEData

/// What a folder must look like, and what is said about one that does not.
@Suite struct ImageFolderTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func touch(_ names: String...) throws {
    // A listing opens no file.
    for name in names { try folder.write(name, []) }
  }

  /// The one line about the folder, which must contain all the given parts.
  private func expectRefusal(_ parts: String..., sourceLocation: SourceLocation = #_sourceLocation) {
    guard let text = message({ _ = try ImageFolder(path: folder.path) }) else {
      Issue.record("the folder was accepted", sourceLocation: sourceLocation)
      return
    }
    #expect(text.hasPrefix(folder.path), sourceLocation: sourceLocation)
    #expect(!text.contains("\n"), sourceLocation: sourceLocation)
    for part in parts { #expect(text.contains(part), sourceLocation: sourceLocation) }
  }

  private let layout = "expected DIR/train/<class>/IMAGES and DIR/val/<class>/IMAGES, or DIR/<class>/IMAGES"

  @Test func sortsByBytes() throws {
    // By bytes, whatever the locale: digits, capitals, underscore, small letters, then what is not ASCII.
    let classes = ["10", "9", "B", "Z", "_", "a", "aa", "b", "é"]
    let files = ["-1.png", "10.png", "2.png", "A.PNG", "a.png", "ä.png"]
    for name in classes.reversed() {
      for file in files.reversed() { try touch("train/\(name)/\(file)", "val/\(name)/\(file)") }
    }
    let opened = try ImageFolder(path: folder.path)
    #expect(opened.classes == classes)
    for split in DatasetSplit.allCases {
      let set = try opened[split]
      let expected = classes.enumerated().flatMap { label, name in
        files.map {
          ImageSet.Entry(path: "\(folder.path)/\(split.rawValue)/\(name)/\($0)", label: Int32(label))
        }
      }
      #expect(set.split == split && set.classes == classes && set.count == classes.count * files.count)
      #expect(set.images == expected)
    }
  }

  @Test func passesOverWhatIsNoImage() throws {
    try touch(
      "train/a/1.png", "train/a/notes.txt", "train/a/.hidden.jpg", "train/.cache/x.png", "train/list.csv",
      "val/a/2.png", "val/a/._2.png", "README.md")
    let opened = try ImageFolder(path: folder.path)
    #expect(opened.classes == ["a"])
    #expect(try opened[.train].images.map(\.path) == [folder.path + "/train/a/1.png"])
    #expect(try opened[.val].images.map(\.path) == [folder.path + "/val/a/2.png"])
    #expect(
      opened.leftOut.text
        == "left out: files beside train and val (1, README.md); hidden files (3, such as train/.cache); files that are no images by their names (2, such as train/list.csv)"
    )
    #expect(opened.notes == ["\(folder.path): \(opened.leftOut.text ?? "")"])
  }

  /// Folders below a class belong to it; images beside classes, other splits and originals are said.
  @Test func foldersBelowClasses() throws {
    try touch(
      "train/a/1.png", "train/a/deep/er/2.PNG", "train/a/0.png", "train/a/0.jpg", "train/loose.png", "train/loose.webp",
      "val/a/1.png", "test/a/1.png", "test/a/2.png")
    let opened = try ImageFolder(path: folder.path)
    let names = try opened[.train].images.map { String($0.path.dropFirst("\(folder.path)/train/a/".count)) }
    #expect(names == ["0.png", "1.png", "deep/er/2.PNG"])
    #expect(
      opened.leftOut.text
        == "left out: folders beside train and val (1, test); images beside class folders (2, such as train/loose.png); images of which one with the same name and another suffix is used (1, train/a/0.jpg)"
    )
  }

  /// A zip file from a Mac has decomposed names. The same letters are the same class, whatever their bytes.
  @Test func namesInBothForms() throws {
    let (composed, decomposed) = ("caf\u{E9}", "cafe\u{301}")
    try touch("train/\(composed)/1.png", "train/cafz/1.png", "val/\(decomposed)/1.png", "val/cafz/1.png")
    let opened = try ImageFolder(path: folder.path)
    #expect(opened.classes.map { Array($0.utf8) } == ["cafz", composed].map { Array($0.utf8) })
    for split in DatasetSplit.allCases {
      #expect(try opened[split].images.map(\.label) == [0, 1])
      #expect(try opened[split].images.allSatisfy { FileManager.default.fileExists(atPath: $0.path) })
    }
    // On one side they would be one class in two folders.
    try touch("val/\(composed)/2.png")
    expectRefusal("in other bytes (63616665cc81 and 636166c3a9); put their images into one")
  }

  @Test func linksAndForeignNames() throws {
    try touch("train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.png")
    for (name, target) in [("a/up", ".."), ("a/gone.png", "nowhere"), ("b/2.png", "1.png")] {
      symlink(target, "\(folder.path)/train/\(name)")
    }
    var foreign = [UInt8]((folder.path + "/train/a/x.png").utf8) + [0]
    foreign[foreign.count - 6] = 0xFF
    close(foreign.withUnsafeMutableBytes { open($0.baseAddress!.assumingMemoryBound(to: CChar.self), O_CREAT, 0o644) })
    symlink(folder.path, folder.path + "-link")
    defer { unlink(folder.path + "-link") }
    for path in [folder.path, folder.path + "-link"] {
      let opened = try ImageFolder(path: path)
      // A link to the folder above would make every image one of class a.
      #expect(try opened[.train].images.map(\.label) == [0, 1, 1])
      #expect(
        opened.leftOut.text
          == "left out: links that lead nowhere (1, train/a/gone.png); names that are no UTF-8 (1, train/a/\\xff.png); links to a folder that they are in (1, train/a/up)"
      )
    }
  }

  /// What is evaluated may lack classes of the model, and has no others; what is learnt from has them all.
  @Test func classesOfAModel() throws {
    try touch("val/b/1.png", "val/d/1.png")
    let known = ["d", "c", "b", "a"]
    let opened = try ImageFolder(path: folder.path, splits: [.val], known: known)
    #expect(opened.classes == known && opened.missing == ["c", "a"])
    #expect(try opened[.val].images.map(\.label) == [2, 0])
    #expect(opened.notes == ["\(folder.path) has no images of 2 of 4 classes (c, a), which count 0"])
    #expect(
      message { _ = try ImageFolder(path: folder.path, splits: [.val], known: ["a", "b"]) }?.contains(
        "/val: its 2 classes differ from the model's 2 (unknown to the model: d; missing: a)") == true)
    try touch("train/b/1.png", "train/d/1.png")
    #expect(message { _ = try ImageFolder(path: folder.path, known: known) }?.contains("(missing: c, a)") == true)
  }

  @Test func opensOneSplitAlone() throws {
    try touch("val/a/1.png")
    let opened = try ImageFolder(path: folder.path, splits: [.val])
    #expect(opened.classes == ["a"])
    #expect(try opened[.val].count == 1)
    #expect(
      message { _ = try opened[.train] } == "\(folder.path): the split train was not opened")
  }

  @Test func followsLinks() throws {
    try touch("elsewhere/1.png", "val/a/1.png")
    try FileManager.default.createDirectory(atPath: folder.path + "/train", withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(
      atPath: folder.path + "/train/a", withDestinationPath: folder.path + "/elsewhere")
    #expect(try ImageFolder(path: folder.path)[.train].count == 1)
  }

  @Test func missingFolder() throws {
    let absent = folder.path + "/absent"
    let text = try #require(message { _ = try ImageFolder(path: absent) })
    #expect(text == "\(absent): no such folder, \(layout); check the path")

    let file = try folder.write("file", [1])
    #expect(message { _ = try ImageFolder(path: file) } == "\(file): not a folder, \(layout)")
  }

  @Test func missingSplit() throws {
    expectRefusal("/train: no such folder", layout)
    try touch("train/a/1.png")
    expectRefusal("/val: no such folder", layout, "move some images of each class to val")
    try touch("test/a/1.png")
    expectRefusal("/val: no such folder", "rename test to val to validate on it")
    try touch("val")
    expectRefusal("/val: not a folder", layout)
  }

  /// Class folders without splits are divided by content: equal files are on one side, and neither names nor places matter.
  @Test func dividesByContent() throws {
    func content(_ number: Int) -> [UInt8] { [UInt8(number), UInt8(number * 7 % 256)] }
    for (label, name) in ["cat", "dog"].enumerated() {
      for number in 0..<40 { try folder.write("one/\(name)/\(number).png", content(number + 100 * label)) }
      try folder.write("one/\(name)/copy.jpg", content(100 * label))
      try folder.write("one/\(name)/deep/copy.webp", content(100 * label))
    }
    // A picture of two classes is on one side, too.
    try folder.write("one/dog/cat.png", content(3))
    let opened = try ImageFolder(path: folder.path + "/one", validationShare: 0.2)
    let (train, val) = (try opened[.train], try opened[.val])
    #expect(train.count + val.count == 85 && (16...22).contains(val.count))
    func contents(_ set: ImageSet) throws -> Set<[UInt8]> {
      Set(try set.images.map { try readFile($0.path, limit: 9) })
    }
    #expect(try contents(train).isDisjoint(with: contents(val)))
    for set in [train, val] { #expect(Set(set.images.map(\.label)) == [0, 1]) }
    #expect(
      opened.notes == [
        "\(folder.path)/one has no train and val folders: \(val.count) of 85 images, chosen by their content, are for validation (data.validation_share 0.2)"
      ])
    for (label, name) in ["cat", "dog"].enumerated() {
      for number in 0..<40 { try folder.write("two/\(name)/x\(99 - number).PNG", content(number + 100 * label)) }
    }
    try folder.write("two/dog/cat.png", content(3))
    #expect(try contents(ImageFolder(path: folder.path + "/two", validationShare: 0.2)[.val]) == contents(val))
    // What is evaluated alone is the same part.
    let alone = try ImageFolder(
      path: folder.path + "/one", splits: [.val], known: ["dog", "cat"], validationShare: 0.2)
    #expect(try alone[.val].images.map(\.path) == val.images.map(\.path))
    #expect(try alone[.val].images.map { 1 - $0.label } == val.images.map(\.label))
  }

  @Test func cannotBeDivided() throws {
    try touch("cat/1.png")
    expectRefusal("one class folder (cat), expected at least two classes")
    try touch("dog/1.png", "dog/2.png")
    expectRefusal("/cat: one image only, or copies of one, expected enough for training and validation")
    try FileManager.default.removeItem(atPath: folder.path + "/dog")
    try touch("set/train/a/1.png", "set/val/a/1.png")
    expectRefusal("the folder set has train and val folders", "name \(folder.path)/set")
  }

  @Test func splitWithoutClasses() throws {
    try touch("val/a/1.png")
    try FileManager.default.createDirectory(atPath: folder.path + "/train", withIntermediateDirectories: true)
    expectRefusal("/train: no class folders (the folder is empty)", layout)
    try touch("train/.hidden")
    expectRefusal("/train: no class folders (the folder is empty)", layout)
    try touch("train/1.tiff", "train/labels.csv")
    expectRefusal("/train: no class folders (only other files are in it)", layout)
    try touch("train/1.PNG")
    expectRefusal("/train: no class folders (PNG, JPEG or WebP files are directly in it)", layout)
  }

  @Test func classWithoutImages() throws {
    try touch("train/a/1.png", "train/b/notes.txt", "val/a/1.png", "val/b/1.png")
    expectRefusal("/train/b: a class without images; add PNG, JPEG or WebP files or remove the folder")
  }

  @Test(arguments: ["gif", "TIF", "heic", "bmp"]) func otherFormat(suffix: String) throws {
    try touch("train/a/1.png", "train/a/cat.2.\(suffix)", "val/a/1.png")
    expectRefusal(
      "/train/a/cat.2.\(suffix): a .\(suffix.lowercased()) file, expected PNG, JPEG or WebP",
      "`mogrify -format png FILE`", "the original may stay")
    try touch("train/a/cat.2.png")
    #expect(try ImageFolder(path: folder.path)[.train].count == 2)
  }

  @Test func classesThatDiffer() throws {
    try touch("train/a/1.png", "train/b/1.png", "val/a/1.png", "val/c/1.png")
    expectRefusal(
      "the classes of train and val differ (only in train: b; only in val: c)",
      "both need the same class folders")
    try touch("train/c/1.png")
    expectRefusal("differ (only in train: b);")
    for i in 0..<8 { try touch("val/extra\(i)/1.png") }
    expectRefusal("only in val: extra0, extra1, extra2, extra3, extra4 and 3 more")
  }
}
