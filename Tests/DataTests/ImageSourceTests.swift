import Foundation
import Testing

@testable import MMoEData

/// Decoded images: what stays in memory, and what becomes of files that cannot be decoded.
@Suite struct ImageSourceTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    try folder.makeImages(train: 2, val: 1)
  }

  /// The six training images, 192 bytes each when decoded.
  private var set: ImageSet {
    get throws { try ImageFolder(path: folder.path)[.train] }
  }

  private func decodeAll(_ source: ImageSource) throws {
    for index in 0..<source.set.count {
      let expected = try RGBImage(contentsOf: source.set.images[index].path)
      #expect(try source.image(at: index) == expected)
    }
  }

  @Test func laterEpochsComeFromMemory() throws {
    let source = ImageSource(try set)
    #expect(source.statistics == ImageSource.Statistics())
    for _ in 0..<3 { try decodeAll(source) }
    #expect(source.statistics == .init(decoded: 6, cachedBytes: 6 * 192))
    // Not even the files are needed any more.
    for image in source.set.images { try FileManager.default.removeItem(atPath: image.path) }
    #expect(try source.image(at: 5)?.width == 8)
  }

  /// First come, first kept: with room for two, the other four are decoded in every epoch.
  @Test(arguments: [
    (bytes: 0, kept: 0), (191, 0), (192, 1), (2 * 192 + 191, 2), (6 * 192 - 1, 5), (6 * 192, 6),
  ]) func budget(_ limit: (bytes: Int, kept: Int)) throws {
    let source = ImageSource(try set, cacheBytes: limit.bytes)
    for epoch in 1...3 {
      try decodeAll(source)
      #expect(source.statistics.cachedBytes == limit.kept * 192)
      #expect(source.statistics.decoded == 6 + (epoch - 1) * (6 - limit.kept))
    }
  }

  @Test func smallerImagesFillTheRest() throws {
    try folder.write("train/a/2.png", RGBImage.random(width: 1, height: 1).png())
    // Room for one large image and 3 bytes: the one-pixel image comes third.
    let source = ImageSource(try set, cacheBytes: 195)
    try decodeAll(source)
    #expect(source.statistics.cachedBytes == 195)
    try decodeAll(source)
    #expect(source.statistics.decoded == 7 + 5)
  }

  @Test func manyThreadsOneCache() throws {
    let source = ImageSource(try set)
    try parallelFor(600, grain: 1) { index in
      let image = try source.image(at: index % 6)
      #expect(image?.pixels.first == UInt8(index % 6 / 2 * 70 + index % 2 * 5))
    }
    #expect(source.statistics.cachedBytes == 6 * 192)
  }

  @Test func policyError() throws {
    let bad = try folder.write("train/b/0.png", Array("no picture".utf8))
    let source = ImageSource(try set)
    #expect(source.policy == .error)
    for _ in 0..<2 {
      let text = try #require(message { _ = try source.image(at: 2) })
      #expect(text.hasPrefix("\(bad): not a PNG file") && text.hasSuffix("--on-bad-image skip"))
      #expect(!text.contains("\n"))
    }
    #expect(try source.image(at: 3) != nil)
    #expect(source.statistics.decoded == 1)
    #expect(source.statistics.bad.keys.sorted() == [2])
    // A file that was replaced meanwhile counts again.
    try folder.write("train/b/0.png", RGBImage.random(width: 2, height: 2).png())
    #expect(try source.image(at: 2)?.width == 2)
  }

  @Test func policySkip() throws {
    let bad = try folder.write("train/b/0.png", [])
    let set = try set
    try FileManager.default.removeItem(atPath: folder.path + "/train/c/1.png")
    try FileManager.default.createDirectory(
      atPath: folder.path + "/train/c/1.png", withIntermediateDirectories: true)
    let source = ImageSource(set, policy: .skip)
    for _ in 0..<2 {
      #expect(try (0..<6).map { try source.image(at: $0) != nil } == [true, true, false, true, true, false])
    }
    #expect(source.statistics.decoded == 4)
    #expect(
      source.statistics.bad == [
        2: "\(bad): the file is empty", 5: "\(folder.path)/train/c/1.png: not a regular file",
      ])
    // Known bad files are not opened again.
    try folder.write("train/b/0.png", RGBImage.random(width: 2, height: 2).png())
    #expect(try source.image(at: 2) == nil)
  }

  @Test func limitsHoldForEveryFile() throws {
    let wide = PNGWriter(
      width: 20_000, height: 1, depth: 8, colorType: 0, samples: Array(repeating: 9, count: 20_000))
    let path = try folder.write("train/a/0.png", wide.file)
    let refused = ImageSource(try set)
    let text = try #require(message { _ = try refused.image(at: 0) })
    #expect(text.hasPrefix("\(path): 20000 x 1 pixels, the limit is 16384 a side; "))
    #expect(!text.contains("\n"))
    #expect(refused.statistics.cachedBytes == 0)

    let allowed = ImageSource(try set, limits: ImageLimits(side: 20_000))
    #expect(try allowed.image(at: 0)?.width == 20_000)
    let small = ImageSource(try set, policy: .skip, limits: ImageLimits(bytes: 191))
    #expect(try small.image(at: 1) == nil)
    #expect(small.statistics.bad[1]?.contains("192 bytes when decoded, the limit is 191") == true)
  }

  @Test func truncatedFiles() throws {
    let whole = try RGBImage.random(width: 16, height: 16).png()
    for count in [0, 1, 8, 20, 33, whole.count / 2, whole.count - 13, whole.count - 1] {
      let path = try folder.write("train/a/0.png", Array(whole[..<count]))
      let text = try #require(message { _ = try ImageSource(try set).image(at: 0) }, "\(count) bytes")
      #expect(text.hasPrefix(path + ": ") && !text.contains("\n"))
    }
  }
}
