import Foundation
import Testing

@testable import MMoEData

/// The data set that comes with the project: reproducible, without leaks from train to val, whole or absent.
@Suite struct SynthesisTests {
  private let folder: TemporaryFolder
  private var target: String { folder.path + "/shapes" }

  init() throws { folder = try TemporaryFolder() }

  /// Every file below a folder, by its relative path.
  private func files(_ root: String) throws -> [String: [UInt8]] {
    var found: [String: [UInt8]] = [:]
    for name in try FileManager.default.subpathsOfDirectory(atPath: root) where name.hasSuffix(".png") {
      found[name] = try readFile(root + "/" + name, limit: 1 << 20)
    }
    return found
  }

  private func names(_ path: String) -> [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: path).sorted()) ?? []
  }

  @Test func sameSeedSameBytes() throws {
    let a = try ShapeSynthesizer(classes: 3, imageSize: 16, seed: 5)
    try a.write(to: target, trainPerClass: 4, valPerClass: 2)
    try a.write(to: target + "-again", trainPerClass: 4, valPerClass: 2)
    let first = try files(target)
    #expect(first.count == 18)
    #expect(try files(target + "-again") == first)
    // More images of a class begin with the same ones.
    try a.write(to: target + "-more", trainPerClass: 6, valPerClass: 3)
    #expect(try files(target + "-more").filter { first[$0.key] != nil } == first)

    let other = try ShapeSynthesizer(classes: 3, imageSize: 16, seed: 6)
    try other.write(to: target + "-other", trainPerClass: 4, valPerClass: 2)
    let second = try files(target + "-other")
    #expect(second.keys.sorted() == first.keys.sorted())
    for (name, bytes) in second { #expect(first[name] != bytes, "\(name)") }
  }

  @Test func filesAreWhatTheRendererGives() throws {
    let shapes = try ShapeSynthesizer(classes: 2, imageSize: 20, seed: 1)
    try shapes.write(to: target, trainPerClass: 2, valPerClass: 1)
    let opened = try ImageFolder(path: target)
    #expect(opened.classes == shapes.classNames)
    for split in DatasetSplit.allCases {
      let set = try opened[split]
      let perClass = split == .train ? 2 : 1
      #expect(set.count == 2 * perClass)
      for (i, entry) in set.images.enumerated() {
        let image = try RGBImage(contentsOf: entry.path)
        #expect(image.width == 20 && image.height == 20)
        #expect(image == shapes.image(split: split, label: i / perClass, number: i % perClass))
      }
    }
  }

  /// No draw is shared between splits, classes or numbers: a validation image never was in training.
  @Test func noImageTwice() throws {
    let shapes = try ShapeSynthesizer(classes: 20, imageSize: 16, seed: 2)
    var seen: Set<[UInt8]> = []
    for split in DatasetSplit.allCases {
      for label in 0..<20 {
        for number in 0..<10 { seen.insert(shapes.image(split: split, label: label, number: number).pixels) }
      }
    }
    #expect(seen.count == 2 * 20 * 10)
  }

  /// Labels are positions in the sorted list, as an image folder gives them.
  @Test(arguments: [2, 10, 20, 21, 100]) func classNames(classes: Int) throws {
    let names = try ShapeSynthesizer(classes: classes).classNames
    #expect(names.count == classes && Set(names).count == classes)
    #expect(names == names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
    // Textures are part of the class where shapes alone do not suffice.
    #expect(names.allSatisfy { $0.contains("-") } == (classes > 20))
  }

  /// At the size of one patch every two outlines differ in at least an eighth of the first ten's pixels, and in
  /// some of the later ones'.
  @Test func outlinesDiffer() {
    let side = 14
    let masks = ShapeKind.allCases.map { kind in
      (0..<side * side).map { i in
        kind.contains((Float(i % side) + 0.5) / 7 - 1, (Float(i / side) + 0.5) / 7 - 1)
      }
    }
    for (i, a) in masks.enumerated() {
      let share = Double(a.filter { $0 }.count) / Double(side * side)
      #expect(0.15 < share && share < 0.8, "\(ShapeKind.allCases[i]) covers \(share)")
      for (j, b) in masks.enumerated() where j < i {
        let difference = zip(a, b).filter { $0 != $1 }.count
        let least = i < 10 ? side * side / 8 : 12
        #expect(difference >= least, "\(ShapeKind.allCases[i]) and \(ShapeKind.allCases[j]): \(difference)")
      }
    }
  }

  /// Shells complete the name of a folder with a slash.
  @Test(arguments: ["", "/", "//"]) func appearsOnlyWhenComplete(suffix: String) throws {
    let (target, parent) = (target, folder.path)
    try ShapeSynthesizer(classes: 2, imageSize: 16).write(
      to: target + suffix, trainPerClass: 150, valPerClass: 10
    ) { done, total in
      // Called after 256 files and at the end.
      #expect(total == 320 && (done == 256 || done == 320))
      #expect(!FileManager.default.fileExists(atPath: target))
      #expect((try? FileManager.default.contentsOfDirectory(atPath: parent))?.count == 1)
    }
    #expect(names(parent) == ["shapes"])
    #expect(try files(target).count == 320)
  }

  @Test func replacesAnEmptyFolder() throws {
    try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
    try ShapeSynthesizer(classes: 2, imageSize: 16).write(to: target, trainPerClass: 1, valPerClass: 1)
    #expect(names(target) == ["train", "val"])
  }

  @Test func refusesWhatIsThere() throws {
    let shapes = try ShapeSynthesizer(classes: 2, imageSize: 16)
    func failure() -> String? {
      message { try shapes.write(to: target, trainPerClass: 1, valPerClass: 1) }
    }
    let note = try folder.write("shapes/note.txt", [1])
    #expect(failure() == "\(target): exists already; remove it or name another folder")
    #expect(names(target) == ["note.txt"] && names(folder.path) == ["shapes"])
    try FileManager.default.removeItem(atPath: target)
    try folder.write("shapes", [1])
    #expect(failure() == "\(target): exists already; remove it or name another folder")
    // Nor a file as a parent.
    let below = target + "/deeper"
    let text = try #require(message { try shapes.write(to: below, trainPerClass: 1, valPerClass: 1) })
    #expect(text.contains("cannot be created") && !text.contains("\n"))
    #expect(note.hasPrefix(target) && names(folder.path) == ["shapes"])
  }

  /// Someone fills the folder in the meantime: nothing of theirs is lost, nothing half-made stays.
  @Test func losesARace() throws {
    let target = target
    let shapes = try ShapeSynthesizer(classes: 2, imageSize: 16)
    let text = message {
      try shapes.write(to: target, trainPerClass: 1, valPerClass: 1) { _, _ in
        try? FileManager.default.createDirectory(atPath: target + "/theirs", withIntermediateDirectories: true)
      }
    }
    #expect(text?.hasPrefix("\(target): cannot be created: ") == true)
    #expect(names(folder.path) == ["shapes"] && names(target) == ["theirs"])
  }

  @Test func refusesArguments() throws {
    #expect(message { _ = try ShapeSynthesizer(classes: 1) } == "synthesize: 1 classes, expected 2 to 100")
    #expect(message { _ = try ShapeSynthesizer(classes: 101) } == "synthesize: 101 classes, expected 2 to 100")
    #expect(
      message { _ = try ShapeSynthesizer(imageSize: 15) }
        == "synthesize: image size 15, expected 16 to 1024 pixels")
    let shapes = try ShapeSynthesizer(classes: 2, imageSize: 16)
    #expect(
      message { try shapes.write(to: target, trainPerClass: 0) }
        == "synthesize: 0 train images per class, expected 1 to 1000000")
    #expect(message { try shapes.write(to: target, valPerClass: 0) }?.contains("0 val images") == true)
    #expect(names(folder.path) == [])
  }
}
