import Foundation
import MMoETensor
import Testing

@testable import MMoEData

/// What programs outside of the package can do wrong with data is an error of one line.
@Suite struct OutsideDataTests {
  private let folder: TemporaryFolder
  private let pairs: PairSet

  init() throws {
    folder = try TemporaryFolder()
    for (index, name) in ["a.png", "b.png"].enumerated() {
      try folder.write(name, RGBImage.plain(width: 4, height: 4, [UInt8(40 * index), 9, 200]).png())
    }
    try folder.write(
      PairFolder.fileName,
      [UInt8](
        """
        {"image": "a.png", "caption": "red", "split": "train"}
        {"image": "b.png", "caption": "blue", "split": "val"}
        """.utf8))
    pairs = try PairFolder(path: folder.path)[.train]
  }

  private func expectError(_ words: String, _ body: () throws -> Void, line: Int = #line) {
    let found = message(body) ?? "no error"
    #expect(found.contains(words) && !found.contains("\n"), "line \(line): \(found)")
  }

  @Test(arguments: [[], [3], [3, 4], [3, 0, 4], [3, -4, -4], [3, 4, 4, 1], [1 << 20, 1 << 20, 1 << 20]])
  func shapesThatAreNone(shape: [Int]) throws {
    expectError("the shape of a sample of the field image is \(shape)") {
      _ = try PairSource(pairs, shapes: ["image": shape])
    }
    expectError("the shape of a sample of the field image is \(shape)") {
      _ = try #require(SampleFormat.registry["image"]).samples(
        [folder.path + "/a.png"], shape: shape, normalization: .unit)
    }
  }

  /// Shapes of another format's samples.
  @Test func shapesOfOthers() throws {
    let format = try #require(SampleFormat.registry["image"])
    let path = folder.path + "/a.png"
    #expect(try format.samples([path, path], shape: [3, 2, 2], normalization: .unit).shape == [2, 3, 2, 2])
    for shape in [[1, 4, 4], [3, 4, 8], [3, 8, 4]] {
      expectError("the shape of images is \(shape)") {
        _ = try format.samples([path], shape: shape, normalization: .unit)
      }
      let loader = try PairLoader(
        PairSource(pairs, shapes: ["image": shape]), captions: [[[1]]], options: .init(batchSize: 1, imageSize: 4),
        order: .evaluation)
      expectError("the shape of images is \(shape)") { _ = try loader.next() }
    }
    expectError("the shape of recordings is [2, 8, 8]") {
      _ = try #require(SampleFormat.registry["audio"]).samples([path], shape: [2, 8, 8], normalization: .unit)
    }
    expectError("the images is none") { _ = try format.samples([], shape: [3, 4, 4], normalization: .unit) }
  }

  @Test(arguments: [[], [[[1]], [[2]]], [[]]] as [[[[Int32]]]]) func captionsOfOthers(captions: [[[Int32]]]) throws {
    let source = try PairSource(pairs, shapes: ["image": [3, 4, 4]])
    expectError("the captions of 1 items is \(captions.count) lists") {
      _ = try PairLoader(
        source, captions: captions, options: .init(batchSize: 1, imageSize: 4), order: .training(startStep: 0))
    }
  }

  @Test func tokensThatAreNot() throws {
    let corpus = try TokenCorpus(folder.makeShards([30], vocabulary: 100), split: .train, tokenizer: nil)
    #expect(try corpus.ids(28..<30).count == 2)
    for range in [-1..<2, 29..<31] { expectError("the range of tokens is") { _ = try corpus.ids(range) } }
    let windows = try SlidingWindows(corpus, length: 8, stride: 8)
    #expect(try windows.batch(first: windows.count - 1, size: .max).count == 1)
    for (first, size) in [(-1, 1), (windows.count, 1), (0, 0), (0, -1)] {
      expectError("a batch of windows is \(size) from \(first)") { _ = try windows.batch(first: first, size: size) }
    }
  }
}
