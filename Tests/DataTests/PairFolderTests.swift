import Foundation
import TestSupport
import Testing

@testable import MMoEData

/// Folders of pairs: what their lines mean, how they are divided, and what is wrong with them.
@Suite struct PairFolderTests {
  private func folder(_ lines: [String], images: [String]) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for (index, name) in images.enumerated() {
      try folder.write(
        name, RGBImage.plain(width: 4, height: 4, [UInt8(truncatingIfNeeded: 41 * index), 9, 200]).png())
    }
    try folder.write(PairFolder.fileName, [UInt8](lines.joined(separator: "\n").utf8))
    return folder
  }

  @Test func linesOfOneImageAddUp() throws {
    let folder = try folder(
      [
        #"{"image": "b.png", "caption": "a dog", "label": "animal", "group": "g", "split": "train"}"#, "",
        #"{"image": "a.png", "caption": "one", "captions": ["one", "two"], "split": "val", "gallery": "small"}"#,
        #"{"image": "b.png", "caption": "the dog", "label": "animal", "group": "g", "split": "train", "other": [1], "license": "CC-BY-4.0", "url": "https://example.org/b.png"}"#,
        #"{"image": "c.png", "caption": "left out", "label": "thing", "split": "none"}"#,
      ], images: ["a.png", "b.png", "c.png"])
    let pairs = try PairFolder(path: folder.path)
    #expect(pairs.labels == ["animal", "thing"])
    #expect(pairs[.train].items.map(\.captions) == [["a dog", "the dog"]])
    #expect(pairs[.train].items[0].label == 0)
    #expect(pairs[.val].items.map(\.captions) == [["one", "two"]])
    #expect(pairs[.val].items[0].label == -1)
    #expect(pairs[.val].galleries.map(\.name) == ["small"])
  }

  /// Without a split a group stays together, and both parts get some.
  @Test func groupsAreDividedAsAWhole() throws {
    let names = (0..<60).map { "\($0).png" }
    let lines = names.enumerated().map { #"{"image": "\#($1)", "caption": "x", "group": "g\#($0 / 3)"}"# }
    let folder = try folder(lines, images: names)
    let pairs = try PairFolder(path: folder.path, validationShare: 0.3)
    let (train, val) = (Set(pairs[.train].items.map(\.group)), Set(pairs[.val].items.map(\.group)))
    #expect(train.isDisjoint(with: val))
    #expect(pairs[.train].count + pairs[.val].count == 60)
    #expect(pairs[.train].groups.allSatisfy { $0.count == 3 })
    #expect((1...12).contains(val.count))
  }

  @Test(arguments: [
    (#"{"image": "gone.png", "caption": "x"}"#, ["captions.jsonl:2", "gone.png", "missing"]),
    (#"{"image": "b.png", "caption": "  "}"#, ["captions.jsonl:2", "b.png", "empty"]),
    (#"{"image": "b.png"}"#, ["captions.jsonl:2", "b.png", "caption"]),
    (#"{"caption": "x"}"#, ["captions.jsonl:2", "image"]),
    (#"{"image": "b.png", "caption": "x""#, ["captions.jsonl:2", "JSON"]),
    (#"{"image": 3, "caption": "x"}"#, ["captions.jsonl:2", "image is no text", "a list of such"]),
    (#"{"image": "b.png", "audio": ["c.wav", null], "caption": "x"}"#, ["captions.jsonl:2", "field audio is no text"]),
    (#"{"image": "b.png", "captions": ["x", 3]}"#, ["captions.jsonl:2", "field captions is no list of texts"]),
    (#"["b.png"]"#, ["captions.jsonl:2", "JSON"]),
    (#"{"image": "b.png", "caption": "x", "split": "test"}"#, ["captions.jsonl:2", "test", "train, val"]),
    (#"{"image": "a.png", "caption": "x", "split": "val"}"#, ["captions.jsonl:2", "a.png", "split"]),
    (#"{"image": "a.png", "caption": "x", "label": "l", "split": "train"}"#, ["captions.jsonl:2", "label", "'l'"]),
    (#"{"image": "b.png", "caption": "x", "label": ""}"#, ["captions.jsonl:2", "label ''", "leave it out"]),
    (#"{"image": "../a.png", "caption": "x"}"#, ["captions.jsonl:2", "../a.png", "below", "copy it there"]),
    (#"{"image": "sub/../a.png", "caption": "x"}"#, ["captions.jsonl:2", "sub/../a.png", "copy it there"]),
    (#"{"image": "/etc/hostname", "caption": "x"}"#, ["captions.jsonl:2", "/etc/hostname", "copy it there"]),
    (
      #"{"image": "out.png", "caption": "x"}"#, ["captions.jsonl:2", "out.png is a link to /etc/host", "copy it there"]
    ),
    (#"{"image": ".", "caption": "x"}"#, ["captions.jsonl:2", "copy it there"]),
    (
      #"{"image": "b.png", "caption": "x", "video": "a.mp4"}"#,
      ["captions.jsonl:2", "field video", "a.mp4", "image or audio"]
    ),
    (
      #"{"image": "b.png", "caption": "x", "Image": ["a.png"]}"#, ["captions.jsonl:2", "field Image", "image or audio"]
    ),
    (#"{"image": ["a.png", "b.png"], "caption": "x"}"#, ["captions.jsonl:2", "field image", "list of 2", "one file"]),
    (#"{"image": [], "caption": "x"}"#, ["captions.jsonl:2", "no field image or audio"]),
  ])
  func wrongLines(line: String, words: [String]) throws {
    let folder = try folder(
      [#"{"image": "a.png", "caption": "x", "split": "train"}"#, line], images: ["a.png", "b.png"])
    symlink("/etc/hostname", folder.path + "/out.png")
    let found = try #require(message { _ = try PairFolder(path: folder.path) })
    for word in words { #expect(found.contains(word), "\(found)") }
    #expect(!found.contains("\n"))
  }

  @Test func imagesWithoutCaptionsAndEmptyFolders() throws {
    let unnamed = try folder(
      [#"{"image": "a.png", "caption": "x", "split": "train"}"#], images: ["a.png", "b.png", "sub/c.png"])
    #expect(message { _ = try PairFolder(path: unnamed.path) }?.contains("b.png: no line") == true)
    let oneSide = try folder([#"{"image": "a.png", "caption": "x", "split": "train"}"#], images: ["a.png"])
    #expect(message { _ = try PairFolder(path: oneSide.path) }?.contains("no pairs for val") == true)
    let empty = try folder([""], images: [])
    #expect(message { _ = try PairFolder(path: empty.path) }?.contains("no pairs in it") == true)
    #expect(message { _ = try PairFolder(path: empty.path + "/nowhere") }?.contains("captions.jsonl") == true)
  }

  /// One picture under many names is on one side; where lines put it on both, they are named.
  @Test func equalPicturesAreOnOneSide() throws {
    let names = (0..<40).map { "\($0).png" }
    let lines = names.map { #"{"image": "\#($0)", "caption": "x"}"# }
    let folder = try folder(lines, images: names)
    for copy in 0..<20 {
      try folder.write(
        "\(copy + 20).png", [UInt8](Data(contentsOf: URL(fileURLWithPath: "\(folder.path)/\(copy).png"))))
    }
    for seed in 0..<3 {
      let pairs = try PairFolder(path: folder.path, validationShare: 0.4, seed: UInt64(seed))
      let (train, val) = (try Set(pairs[.train].identities()), try Set(pairs[.val].identities()))
      #expect(train.isDisjoint(with: val) && train.count + val.count == 20)
      #expect(pairs[.train].count + pairs[.val].count == 40 && pairs.groupNote == nil)
    }
    let said = lines.enumerated().map {
      $0 == 3 || $0 == 30 ? $1.replacing("}", with: ", \"split\": \"\($0 == 3 ? "val" : "train")\"}") : $1
    }
    try folder.write(PairFolder.fileName, [UInt8](said.joined(separator: "\n").utf8))
    let pairs = try PairFolder(path: folder.path)
    #expect(pairs[.val].items.contains { $0["image"][0].hasSuffix("/23.png") })
    #expect(pairs[.train].items.contains { $0["image"][0].hasSuffix("/10.png") })
    try folder.write(
      PairFolder.fileName,
      [UInt8](
        said.joined(separator: "\n").replacing("\"30.png\"", with: "\"23.png\"").replacing(lines[23], with: lines[30])
          .utf8))
    let found = message { _ = try PairFolder(path: folder.path) } ?? "nothing"
    #expect(
      found.contains("captions.jsonl:31: 23.png is in train, but 3.png, of the same picture, is in val"), "\(found)")
  }

  /// A group that lines put on both sides.
  @Test func groupsOnBothSides() throws {
    let lines = ["train", "val"].enumerated().map {
      #"{"image": "\#($0).png", "caption": "x", "group": "g", "split": "\#($1)"}"#
    }
    let folder = try folder(lines, images: ["0.png", "1.png"])
    #expect(
      message { _ = try PairFolder(path: folder.path) }?.contains(
        "captions.jsonl:2: 1.png is in val, but 0.png, of the same group, is in train") == true)
  }

  /// A byte order mark, `./`, and names in other forms of Unicode than the files'; files that are left out; few groups.
  @Test func namesAndNotes() throws {
    let lines = [
      #"{"image": "./caf\u00e9.png", "caption": "x", "split": "val"}"#,
      #"{"image": "sub//b.png", "caption": "x", "group": "g", "split": "train"}"#,
      #"{"image": "c.png", "caption": "x", "group": "g", "split": "train"}"#,
    ]
    let folder = try folder(["\u{FEFF}" + lines[0]] + lines[1...], images: ["cafe\u{301}.png", "sub/b.png", "c.png"])
    try folder.write("notes.txt", [0x61])
    symlink("sub", folder.path + "/again")
    let pairs = try PairFolder(path: folder.path)
    #expect(FileManager.default.fileExists(atPath: pairs[.val].items[0]["image"][0]))
    #expect(pairs[.train].items.map { $0["image"] } == ["sub/b.png", "c.png"].map { [folder.path + "/" + $0] })
    #expect(
      pairs.notes == ["\(folder.path): left out: files that are no PNG, JPEG or WebP by their names (1, notes.txt)"])
    #expect(
      pairs.groupNote
        == "\(folder.path): the 2 images for training form 1 group; a pass over the data shows one image of each")
  }

  @Test func labelsOfAModel() throws {
    let lines = ["train", "val"].enumerated().map {
      #"{"image": "\#($0).png", "caption": "x", "label": "l\#($0)", "split": "\#($1)"}"#
    }
    let folder = try folder(lines, images: ["0.png", "1.png"])
    let pairs = try PairFolder(path: folder.path, known: ["l1", "other", "l0"])
    #expect(pairs[.train].items[0].label == 2 && pairs[.val].items[0].label == 0)
    #expect(pairs.notes == ["\(folder.path) has no images of 1 of 3 labels (other), which count 0"])
    #expect(
      message { _ = try PairFolder(path: folder.path, known: ["l0"]) }?.contains(
        "captions.jsonl:2: the label 'l1' is unknown to the model") == true)
  }

  /// One member of a group a pass, another one in another pass; captions drawn by the step; the same for any threads.
  @Test func loaderDrawsOneOfAGroup() throws {
    let names = (0..<12).map { "\($0).png" }
    let lines = names.enumerated().map {
      #"{"image": "\#($1)", "captions": ["one", "two"], "group": "g\#($0 / 3)", "split": "\#($0 < 9 ? "train" : "val")"}"#
    }
    let folder = try folder(lines, images: names)
    let set = try PairFolder(path: folder.path)[.train]
    let captions: [[[Int32]]] = (0..<9).map { [[Int32($0)], [Int32($0), 100]] }
    func batches(threads: Int, from step: Int) throws -> [(indices: [Int], captions: [[Int32]])] {
      let options = LoaderOptions(batchSize: 3, imageSize: 4, seed: 5, threads: threads)
      let loader = try PairLoader(
        PairSource(set, shapes: ["image": [3, 4, 4]]), captions: captions, options: options,
        order: .training(startStep: step))
      return try (step..<40).map { _ in
        let batch = try #require(try loader.next())
        return (batch.indices, batch.captions)
      }
    }
    let all = try batches(threads: 1, from: 0)
    for batch in all {
      #expect(Set(batch.indices.map { $0 / 3 }) == [0, 1, 2])
      for (index, caption) in zip(batch.indices, batch.captions) { #expect(captions[index].contains(caption)) }
    }
    #expect(Set(all.flatMap(\.indices)) == Set(0..<9))
    #expect(Set(all.flatMap { $0.captions.map(\.count) }) == [1, 2])
    // In micro-batches of one pair, the same members with the same captions.
    let options = LoaderOptions(batchSize: 1, imageSize: 4, seed: 5, threads: 1, accumulation: 3)
    let loader = try PairLoader(
      PairSource(set, shapes: ["image": [3, 4, 4]]), captions: captions, options: options,
      order: .training(startStep: 0))
    let parts = try (0..<60).map { _ in try #require(try loader.next()) }
    #expect(parts.flatMap(\.indices) == all[..<20].flatMap(\.indices))
    #expect(parts.flatMap(\.captions) == all[..<20].flatMap(\.captions))
    let later = try batches(threads: 3, from: 7)
    #expect(later.map(\.indices) == all[7...].map(\.indices))
    #expect(later.map(\.captions) == all[7...].map(\.captions))
  }
}
