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

  private let layout = "expected DIR/train/<class>/*.png and DIR/val/<class>/*.png"

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
    #expect(text == "\(absent): no such folder; \(layout); `mmoe data synthesize \(absent)` makes one")

    let file = try folder.write("file", [1])
    #expect(message { _ = try ImageFolder(path: file) } == "\(file): not a folder; \(layout)")
  }

  @Test func missingSplit() throws {
    expectRefusal("/train: no such folder", layout)
    try touch("train/a/1.png")
    expectRefusal("/val: no such folder", layout)
    try touch("val")
    expectRefusal("/val: not a folder", layout)
  }

  @Test func splitWithoutClasses() throws {
    try touch("val/a/1.png")
    try FileManager.default.createDirectory(atPath: folder.path + "/train", withIntermediateDirectories: true)
    expectRefusal("/train: no class folders (the folder is empty)", layout)
    try touch("train/.hidden")
    expectRefusal("/train: no class folders (the folder is empty)", layout)
    try touch("train/1.jpg", "train/labels.csv")
    expectRefusal("/train: no class folders (only other files lie in it)", layout)
    try touch("train/1.PNG")
    expectRefusal("/train: no class folders (PNG files lie directly in it)", layout)
  }

  @Test func classWithoutImages() throws {
    try touch("train/a/1.png", "train/b/notes.txt", "val/a/1.png", "val/b/1.png")
    expectRefusal("/train/b: a class without images; add PNG files or remove the folder")
  }

  @Test(arguments: ["jpg", "JPEG", "gif", "webp", "bmp"]) func otherFormat(suffix: String) throws {
    try touch("train/a/1.png", "train/a/cat.2.\(suffix)", "val/a/1.png")
    expectRefusal(
      "/train/a/cat.2.\(suffix): a .\(suffix.lowercased()) file, expected PNG",
      "`mogrify -format png FILE`")
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
