import Foundation
import Testing

@testable import MMoEData

/// Digests tell data apart by what is learned from, and by nothing else.
@Suite struct DataPartTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func images(_ root: String, _ files: [(name: String, label: Int32, byte: UInt8)]) throws -> String {
    let entries = try files.map { file in
      try folder.write("\(root)/\(file.name)", [UInt8](repeating: file.byte, count: 40))
      return ImageSet.Entry(path: folder.path + "/\(root)/\(file.name)", label: file.label)
    }
    let set = ImageSet(split: .train, classes: ["a", "b"], images: entries)
    let part = try DataPart(set, root: folder.path + "/" + root)
    #expect(part.counts == ["images": files.count, "classes": 2])
    return part.digest
  }

  @Test func imagesByNameLabelAndContent() throws {
    let first = try images("one", [("a/1.png", 0, 1), ("b/2.png", 1, 2)])
    #expect(try images("two", [("a/1.png", 0, 1), ("b/2.png", 1, 2)]) == first)
    for (number, other) in [
      [("a/1.png", Int32(0), UInt8(1)), ("b/2.png", 1, 3)], [("a/1.png", 0, 1), ("b/3.png", 1, 2)],
      [("a/1.png", 0, 1), ("b/2.png", 0, 2)], [("a/1.png", 0, 1)],
    ].enumerated() {
      #expect(try images("other\(number)", other) != first)
    }
  }

  /// The place of a data set does not count, whatever bytes its name has.
  @Test func placesDoNotCount() throws {
    let files: [(name: String, label: Int32, byte: UInt8)] = [("a/1.png", 0, 1), ("b/ü.png", 1, 2)]
    #expect(try images("dönnées/é", files) == images("plain", files))
  }

  /// Of a large set the content of some files is read, and the size of all.
  @Test func largeSetsAreSampled() throws {
    let sampling = DataPart.Sampling(wholeBytes: 100, files: 2)
    func digest(_ change: (file: Int, bytes: [UInt8])? = nil) throws -> String {
      let entries = try (0..<4).map { number in
        let bytes = change?.file == number ? change!.bytes : [UInt8](repeating: UInt8(number), count: 40)
        let path = try folder.write("large/\(number).png", bytes)
        return ImageSet.Entry(path: path, label: 0)
      }
      return try DataPart(ImageSet(split: .val, classes: ["a"], images: entries), root: folder.path, sampling).digest
    }
    let first = try digest()
    #expect(try digest((0, [UInt8](repeating: 9, count: 40))) != first)
    #expect(try digest((1, [UInt8](repeating: 9, count: 40))) == first)
    #expect(try digest((1, [UInt8](repeating: 9, count: 41))) != first)
  }

  /// Everything that is learned from a pair counts.
  @Test func pairsByAllTheyHave() throws {
    let line =
      "{\"image\": \"a.png\", \"caption\": \"one\", \"label\": \"x\", \"split\": \"train\", \"gallery\": \"g\"}"
    func digest(_ root: String, _ text: String, picture: UInt8 = 1) throws -> String {
      try folder.write("\(root)/a.png", [picture])
      let other = "{\"image\": \"b.png\", \"caption\": \"two\", \"split\": \"val\"}"
      try folder.write("\(root)/b.png", [7])
      try folder.write("\(root)/captions.jsonl", [UInt8]((text + "\n" + other + "\n").utf8))
      let pairs = try PairFolder(path: folder.path + "/" + root, validationShare: 0.1)
      return try DataPart(pairs[.train], root: folder.path + "/" + root).digest
    }
    let first = try digest("p", line)
    // A model that was trained with labels of other data as well knows more than these lines have.
    let evaluated = try PairFolder(path: folder.path + "/p", validationShare: 0.1, known: ["x", "of others"])
    #expect(try DataPart(evaluated[.train], root: folder.path + "/p").digest == first)
    #expect(try digest("ä", line) == first && digest("q", line, picture: 2) != first)
    for (index, (old, new)) in [("one", "uno"), ("\"x\"", "\"y\""), ("\"g\"", "\"h\"")].enumerated() {
      #expect(try digest("c\(index)", line.replacing(old, with: new)) != first, "\(new)")
    }
  }

  /// A content that changed under its old size and time is another one, whatever is remembered of the file.
  @Test func rememberedDigestsHold() throws {
    let path = try folder.write("text.txt", [1, 2, 3, 4])
    let old = [timespec(tv_sec: 1000, tv_nsec: 5), timespec(tv_sec: 1000, tv_nsec: 5)]
    func digest() throws -> String {
      var digests = FileDigests(cache: folder.path, threshold: 0)
      defer { digests.remember() }
      return try digests.digest(of: path)
    }
    #expect(utimensat(AT_FDCWD, path, old, 0) == 0)
    let first = try digest()
    // Too young to be remembered: a change in the same tick would not be seen.
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/digests.json"))
    sleep(3)
    #expect(try digest() == first)
    let remembered = try readFile(folder.path + "/digests.json", limit: 1 << 20)
    // What is remembered is used.
    let changed = String(decoding: remembered, as: UTF8.self).replacing(first, with: String(repeating: "0", count: 32))
    try folder.write("digests.json", [UInt8](changed.utf8))
    #expect(try digest() == String(repeating: "0", count: 32))
    try folder.write("text.txt", [1, 2, 3, 5])
    #expect(utimensat(AT_FDCWD, path, old, 0) == 0)
    let second = try digest()
    #expect(second != first && second != String(repeating: "0", count: 32))
  }

  @Test func mixedParts() {
    let part = DataPart(digest: "a", counts: ["images": 3])
    #expect(part.mixed(with: []) == part)
    let mixed = part.mixed(with: [("mixture.text", DataPart(digest: "b", counts: ["tokens": 7]))])
    #expect(mixed.digest != "a" && mixed.counts == ["images": 3, "mixture.text tokens": 7])
    #expect(part.mixed(with: [("mixture.text", DataPart(digest: "c", counts: [:]))]).digest != mixed.digest)
    #expect(part.summary == "3 images, digest a")
  }
}
