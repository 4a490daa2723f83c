import Foundation
import MMoETensor
import Testing

@testable import MMoEData

/// Pairs that have recordings beside pictures, or instead of them.
@Suite struct PairAudioTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func write(_ lines: [String], images: Int = 0, recordings: Int = 0) throws {
    for i in 0..<images {
      try folder.write("\(i).png", RGBImage.plain(width: 4, height: 4, [UInt8(41 * i), 9, 200]).png())
    }
    for i in 0..<recordings {
      try folder.write("\(i).wav", WAVWriter().bytes(WAVWriter.tones(0.05, rate: 16_000, [Double(300 + 100 * i)])))
    }
    try folder.write(PairFolder.fileName, [UInt8](lines.joined(separator: "\n").utf8))
  }

  @Test func itemsHaveListsOfFiles() throws {
    try write(
      [
        #"{"image": "0.png", "audio": ["0.wav", "./1.wav"], "caption": "a", "split": "train"}"#,
        #"{"image": "0.png", "audio": "2.wav", "caption": "b", "split": "train"}"#,
        #"{"audio": "3.wav", "caption": "c", "split": "val"}"#,
        #"{"image": "1.png", "caption": "d", "split": "val"}"#,
      ], images: 2, recordings: 4)
    let pairs = try PairFolder(path: folder.path)
    func names(_ item: PairItem, _ field: String) -> [String] { item[field].map { ($0 as NSString).lastPathComponent } }
    let train = pairs[.train]
    #expect(train.count == 1 && train.items[0].captions == ["a", "b"])
    #expect(
      names(train.items[0], "audio") == ["0.wav", "1.wav", "2.wav"] && names(train.items[0], "image") == ["0.png"])
    #expect(pairs[.val].items.map { names($0, "audio") } == [["3.wav"], []])
    #expect(pairs[.val].fields == ["image", "audio"] && pairs.notes.isEmpty)
    let part = try DataPart(train, root: folder.path)
    #expect(part.counts == ["images": 1, "recordings": 3, "captions": 2])
    #expect(part.summary.hasPrefix("3 recordings, 2 captions, 1 image, "))
    try folder.write("2.wav", WAVWriter().bytes([0.5]))
    #expect(try DataPart(PairFolder(path: folder.path)[.train], root: folder.path).digest != part.digest)
  }

  /// Recordings that are longer than a model reads are counted: 0.05 s are 4 frames, behind 8 of silence.
  @Test func cutRecordingsAreSaid() throws {
    try write(
      [
        #"{"audio": ["0.wav", "1.wav"], "caption": "a", "split": "train"}"#,
        #"{"audio": "2.wav", "caption": "c", "split": "val"}"#,
      ], recordings: 3)
    try folder.write(
      "1.wav", WAVWriter(form: .float, channels: 2, rate: 8000, note: [1]).bytes([Float](repeating: 0.5, count: 2000)))
    let pairs = try PairFolder(path: folder.path)
    func notes(_ frames: Int) throws -> [String] {
      try PairSet.cutNotes([pairs[.train], pairs[.val]], shapes: ["audio": [1, 8, frames], "image": [3, 4, 4]])
    }
    #expect(
      try notes(12).map { $0.replacing(folder.path, with: "") } == [
        "recordings cut after 0.06 s: 1 of 3, the first /1.wav"
      ])
    #expect(try notes(11)[0].contains("3 of 3") && notes(30).isEmpty)
    let first = LogMel(try Recording(contentsOf: folder.path + "/0.wav"), bands: 8)
    #expect(first.frames == 4)
    try folder.write("1.wav", [1, 2, 3])
    #expect(try notes(12).isEmpty)
  }

  /// Recordings without a line are passed over with a word where no line has any, and refused where some have.
  @Test func recordingsWithoutLines() throws {
    let lines = ["train", "val"].enumerated().map { #"{"image": "\#($0).png", "caption": "x", "split": "\#($1)"}"# }
    try write(lines, images: 2, recordings: 1)
    #expect(
      try PairFolder(path: folder.path).notes.first?.contains("no PNG, JPEG or WebP by their names (1, 0.wav)") == true)
    try write([lines[0], #"{"audio": "1.wav", "caption": "x", "split": "val"}"#], images: 1, recordings: 2)
    try FileManager.default.removeItem(atPath: folder.path + "/1.png")
    #expect(message { _ = try PairFolder(path: folder.path) }?.contains("0.wav: no line of captions.jsonl") == true)
  }

  /// One recording under two names is on one side.
  @Test func equalRecordingsAreOnOneSide() throws {
    try write(
      [
        #"{"audio": "0.wav", "caption": "x", "split": "train"}"#,
        #"{"audio": "1.wav", "caption": "x", "split": "val"}"#,
      ],
      recordings: 1)
    try folder.write("1.wav", readFile(folder.path + "/0.wav", limit: 1 << 20))
    let found = message { _ = try PairFolder(path: folder.path) } ?? "nothing"
    #expect(
      found.contains("captions.jsonl:2: 1.wav is in val, but 0.wav, of the same audio file, is in train"), "\(found)")
  }

  /// Batches have what their items have; recordings are drawn by pass and item, whatever the number of threads.
  @Test func loaderReadsWhatItemsHave() throws {
    var lines = (0..<6).map {
      let audio = $0 == 2 ? "" : #""audio": ["\#($0).wav", "\#($0 + 6).wav"], "#
      let image = $0 == 4 ? "" : #""image": "\#($0).png", "#
      return #"{\#(image)\#(audio)"caption": "x", "split": "train"}"#
    }
    lines.append(#"{"image": "4.png", "audio": ["2.wav", "8.wav"], "caption": "x", "split": "val"}"#)
    try write(lines, images: 6, recordings: 12)
    let set = try PairFolder(path: folder.path)[.train]
    let shapes = ["image": [3, 4, 4], "audio": [1, 8, 20]]
    func batches(threads: Int, _ order: LoaderOrder, steps: Int) throws -> [PairBatch] {
      let loader = try PairLoader(
        PairSource(set, shapes: shapes), captions: set.items.map { _ in [[1]] },
        options: LoaderOptions(batchSize: 4, imageSize: 4, seed: 3, threads: threads), order: order)
      var found: [PairBatch] = []
      while found.count < steps, let batch = try loader.next() { found.append(batch.copy()) }
      return found
    }
    let plain = try batches(threads: 2, .evaluation, steps: 9)
    #expect(plain.map(\.indices) == [[0, 1, 2, 3], [4, 5]])
    #expect(plain.map { $0.samples["audio"]?.items } == [[0, 1, 3], [0, 1]])
    #expect(plain.map { $0.samples["image"]?.items } == [[0, 1, 2, 3], [1]])
    let first = try PairSource(set, shapes: shapes).samples("audio", [(0, 0), (1, 0), (3, 0)])
    #expect(plain[0].samples["audio"]?.values.values == first.values.values && first.places == [0, 1, 2])
    #expect(plain[0].samples["audio"]?.values.shape == [3, 1, 8, 20])
    let (one, three) = (
      try batches(threads: 1, .training(startStep: 0), steps: 6),
      try batches(threads: 3, .training(startStep: 0), steps: 6)
    )
    for (a, b) in zip(one, three) {
      #expect(a.indices == b.indices && a.samples["audio"]?.items == b.samples["audio"]?.items)
      #expect(a.samples["audio"]?.values.values == b.samples["audio"]?.values.values)
      #expect(a.samples["image"]?.values.values == b.samples["image"]?.values.values)
    }
  }

  /// What is left out follows from the file alone, whatever was looked at before it: ranks and passes must agree.
  @Test func aBadRecordingLeavesTheOthersOfItsItem() throws {
    try write(
      [
        #"{"audio": ["0.wav", "1.wav", "2.wav"], "caption": "x", "split": "train"}"#,
        #"{"audio": "3.wav", "caption": "x", "split": "val"}"#,
      ], recordings: 4)
    try folder.write("1.wav", WAVWriter().bytes([0, 0, 0]))
    let set = try PairFolder(path: folder.path)[.train]
    for order in [[1, 2, 0], [0, 1, 2], [2, 0, 1]] {
      let source = try PairSource(set, shapes: ["audio": [1, 8, 20]], cacheBytes: 0, policy: .skip)
      for _ in 0..<2 {
        #expect(try order.map { try source.sample("audio", of: 0, file: $0) != nil } == order.map { $0 != 1 })
      }
      #expect(
        try source.samples("audio", order.map { (item: 0, file: $0) }).places.map { order[$0] }
          == order.filter { $0 != 1 })
      #expect(source.bad.count == 1 && source.bad[0]?.contains("1.wav: silent") == true)
    }
  }

  @Test func badRecordings() throws {
    let lines = (0..<3).map { #"{"audio": "\#($0).wav", "caption": "x", "split": "\#($0 < 2 ? "train" : "val")"}"# }
    try write(lines, recordings: 3)
    try folder.write("1.wav", WAVWriter().bytes([0, 0, 0]))
    let set = try PairFolder(path: folder.path)[.train]
    func indices(_ policy: BadImagePolicy, _ order: LoaderOrder) throws -> [Int] {
      let source = try PairSource(set, shapes: ["audio": [1, 8, 20]], policy: policy)
      let loader = try PairLoader(
        source, captions: [[[1]], [[1]]], options: LoaderOptions(batchSize: 2, imageSize: 4), order: order)
      defer { #expect(policy == .error || source.bad[1]?.contains("silent") == true) }
      return try loader.next()?.indices ?? []
    }
    #expect(message { _ = try indices(.error, .evaluation) }?.contains("1.wav: silent") == true)
    #expect(try indices(.skip, .evaluation) == [0])
    #expect(try indices(.skip, .training(startStep: 0)) == [0, 0])
    #expect(
      message { _ = try PairSource(set, shapes: ["image": [3, 4, 4]]) }?.contains("captions.jsonl:1: no field image")
        == true)
    #expect(
      message { _ = try PairSource(set, shapes: ["video": [3, 4, 4]]) }?.contains("expected image, audio") == true)
  }
}
