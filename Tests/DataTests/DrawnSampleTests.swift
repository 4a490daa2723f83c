import Foundation
import MMoETensor
import Testing

@testable import MMoEData

/// What `mmoe data preview` draws is what loaders give to a training.
@Suite struct DrawnSampleTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func options(_ batch: Int) -> LoaderOptions {
    LoaderOptions(
      batchSize: batch, imageSize: 8, seed: 5,
      augmentation: Augmentation(crop: .randomResized(minimumScale: 0.3), brightness: 0.4, contrast: 0.2),
      normalization: .imageNet)
  }

  /// Every picture by the image and the epoch that it is of, as a training's loader gives them.
  @Test func imagesAreThoseOfTraining() throws {
    try folder.makeImages(train: 4, val: 1, side: 12)
    let source = ImageSource(try ImageFolder(path: folder.path)[.train])
    let drawn = try source.drawnSamples(20, draws: 3, options(5), .training(startStep: 0))
    // No more than there are.
    #expect(drawn.count == 12 && drawn.allSatisfy { $0.draws.count == 3 && $0.field == "" })
    let batches = try record(source, options(12), .training(startStep: 0), steps: 3)
    #expect(batches[0].indices.map { source.set.images[$0].path } == drawn.map(\.name))
    for batch in batches {
      for (index, values) in zip(batch.indices, batch.pictures) {
        let expected = values.withUnsafeBufferPointer { RGBImage(input: $0, side: 8, normalization: .imageNet) }
        let sample = try #require(drawn.first { $0.name == source.set.images[index].path })
        #expect(sample.draws[batch.epoch] == expected, "image \(index), epoch \(batch.epoch)")
      }
    }
    for batch in try record(source, options(12), .evaluation) {
      let plain = batch.pictures.map {
        $0.withUnsafeBufferPointer { RGBImage(input: $0, side: 8, normalization: .imageNet) }
      }
      #expect(
        Set(drawn.map(\.name)).count == 12 && plain.allSatisfy { picture in drawn.contains { $0.plain == picture } })
    }
    #expect(drawn[0].draws[0] != drawn[0].draws[1] && drawn[0].draws[0] != drawn[0].plain)
    #expect(drawn[0].label == source.set.classes[Int(batches[0].labels[0])])
    // Training on one batch varies nothing.
    let overfit = try source.drawnSamples(2, draws: 2, options(2), .overfit)
    #expect(overfit.allSatisfy { $0.draws == [$0.plain, $0.plain] })
  }

  @Test func badImagesAreReplacedAsInTraining() throws {
    try folder.makeImages(train: 2, val: 1)
    try folder.write("train/a/0.png", [])
    let set = try ImageFolder(path: folder.path)[.train]
    let kept = ImageSource(set, policy: .skip)
    let drawn = try kept.drawnSamples(6, draws: 1, options(6), .training(startStep: 0))
    let batch = try #require(try record(kept, options(6), .training(startStep: 0), steps: 1).first)
    #expect(drawn.map(\.name) == batch.indices.map { set.images[$0].path })
    #expect(message { _ = try ImageSource(set).drawnSamples(6, draws: 1, options(6), .training(startStep: 0)) } != nil)
  }

  /// Pictures and recordings, and of several recordings the one that an epoch draws.
  @Test func pairsAreThoseOfTraining() throws {
    for i in 0..<4 {
      try folder.write("\(i).png", RGBImage.random(width: 12, height: 12, seed: UInt64(i)).png())
      for j in 0..<2 {
        let tone = WAVWriter.tones(0.1, rate: 16_000, [Double(300 + 100 * i + 57 * j)])
        try folder.write("\(i)-\(j).wav", WAVWriter().bytes(tone))
      }
    }
    let lines = (0..<4).map {
      #"{"image": "\#($0).png", "audio": ["\#($0)-0.wav", "\#($0)-1.wav"], "caption": "c\#($0)", "split": "\#($0 == 3 ? "val" : "train")"}"#
    }
    try folder.write(PairFolder.fileName, [UInt8](lines.joined(separator: "\n").utf8))
    let set = try PairFolder(path: folder.path)[.train]
    let source = try PairSource(set, shapes: ["image": [3, 8, 8], "audio": [1, 16, 24]])
    let drawn = try source.drawnSamples(9, draws: 2, options(3), .training(startStep: 0))
    #expect(drawn.map(\.field) == (0..<3).flatMap { _ in ["image", "audio"] })
    let loader = try PairLoader(
      source, captions: set.items.map { _ in [[1]] }, options: options(3), order: .training(startStep: 0))
    for epoch in 0..<2 {
      let batch = try #require(try loader.next())
      for (place, index) in batch.indices.enumerated() {
        let own = drawn.filter { $0.name == set.items[index].place }
        for sample in own {
          let values = try #require(batch.samples[sample.field]).values.values
          let length = values.count / batch.count
          let part = Array(values[place * length..<(place + 1) * length])
          let expected =
            sample.field == "image"
            ? part.withUnsafeBufferPointer { RGBImage(input: $0, side: 8, normalization: .imageNet) }
            : LogMel.picture(part, bands: 16, frames: 24)
          #expect(sample.draws[epoch] == expected, "\(sample.name) \(sample.field) epoch \(epoch)")
        }
        #expect(own.count == 2 && own[0].label == "c\(index)")
      }
    }
  }
}
