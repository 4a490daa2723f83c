import Foundation
import MMoETensor
import Testing

@testable import MMoEData

/// What a loader delivers: a function of files, options and step, whatever the threads do.
@Suite struct ImageLoaderTests {
  private let folder: TemporaryFolder
  /// 18 training and 9 validation images.
  private let train: ImageSource
  private let val: ImageSource

  init() throws {
    folder = try TemporaryFolder()
    try folder.makeImages()
    let opened = try ImageFolder(path: folder.path)
    train = ImageSource(try opened[.train])
    val = ImageSource(try opened[.val])
  }

  /// Batches of 5 span epochs of 18 images; every kind of draw is in use.
  private func options(
    batch: Int = 5, seed: UInt64 = 9, threads: Int = 1, depth: Int = 1, rank: Int = 0, ranks: Int = 1
  ) -> LoaderOptions {
    LoaderOptions(
      batchSize: batch, imageSize: 6, seed: seed,
      augmentation: Augmentation(
        crop: .randomResized(minimumScale: 0.3), brightness: 0.3, contrast: 0.3),
      threads: threads, depth: depth, rank: rank, ranks: ranks)
  }

  @Test(arguments: [1, 2, 5], 1...4) func threadsAndDepthChangeNothing(threads: Int, depth: Int) throws {
    let expected = try record(train, options(), .training(startStep: 0), steps: 12)
    let found = try record(
      train, options(threads: threads, depth: depth), .training(startStep: 0), steps: 12)
    #expect(found == expected)
    #expect(expected.map(\.step) == Array(0..<12))
    #expect(expected.allSatisfy { $0.indices.count == 5 && $0.pixels.count == 5 * 3 * 36 })
    // A cold cache neither.
    let cold = ImageSource(train.set, cacheBytes: 500)
    #expect(
      try record(cold, options(threads: threads, depth: depth), .training(startStep: 0), steps: 12) == expected)
  }

  /// What a resumed run depends on.
  @Test(arguments: [1, 3, 4, 7, 11]) func startsAtAnyStep(start: Int) throws {
    let whole = try record(train, options(), .training(startStep: 0), steps: 14)
    let resumed = try record(
      train, options(threads: 2, depth: 3), .training(startStep: start), steps: 14 - start)
    #expect(resumed == Array(whole[start...]))
  }

  @Test func everyImageOnceAnEpoch() throws {
    let batches = try record(train, options(threads: 2), .training(startStep: 0), steps: 18)
    let indices = batches.flatMap(\.indices)
    for epoch in 0..<5 { #expect(indices[epoch * 18..<(epoch + 1) * 18].sorted() == Array(0..<18)) }
    // A batch counts for the epoch that it begins in: samples 15…19 for the first.
    #expect(batches.map(\.epoch) == (0..<18).map { $0 * 5 / 18 })
    for batch in batches { #expect(batch.labels == batch.indices.map { Int32($0 / 6) }) }
  }

  /// A sample is a function of seed, epoch and image: not of the batch that it comes in.
  @Test func batchSizeOnlyCutsTheStream() throws {
    func pictures(batch: Int, seed: UInt64 = 9) throws -> [[Float]] {
      let batches = try record(
        train, options(batch: batch, seed: seed), .training(startStep: 0), steps: 60 / batch)
      return batches.flatMap(\.pictures)
    }
    let whole = try pictures(batch: 1)
    for batch in [4, 15, 20, 60] { #expect(try pictures(batch: batch) == whole) }
    #expect(try pictures(batch: 4, seed: 10) != whole)
    // Each epoch shows an image differently.
    #expect(Set(whole).count == 60)
  }

  @Test(arguments: [2, 4]) func ranksPartitionTheBatch(ranks: Int) throws {
    let single = try record(train, options(batch: 3 * ranks), .training(startStep: 0), steps: 8)
    let parts = try (0..<ranks).map {
      try record(
        train, options(batch: 3, threads: 2, rank: $0, ranks: ranks), .training(startStep: 0), steps: 8)
    }
    for step in 0..<8 {
      #expect(parts.flatMap { $0[step].indices } == single[step].indices)
      #expect(parts.flatMap { $0[step].pixels } == single[step].pixels)
    }
  }

  @Test func evaluationIsOnePlainPass() throws {
    // Options for training leave evaluation alone.
    let loader = try ImageLoader(val, options: options(batch: 4, threads: 2), order: .evaluation)
    #expect(loader.imageCount == 9)
    var seen: [Int] = []
    var sizes: [Int] = []
    while let batch = try loader.next() {
      #expect(batch.step == sizes.count && batch.epoch == 0)
      #expect(batch.pixels.shape == [batch.count, 3, 6, 6])
      for (index, picture) in zip(batch.indices, RecordedBatch(batch).pictures) {
        #expect(try picture == plainPicture(val.set.images[index], side: 6))
      }
      #expect(batch.labels == batch.indices.map { val.set.images[$0].label })
      seen += batch.indices
      sizes.append(batch.count)
    }
    #expect(seen == Array(0..<9) && sizes == [4, 4, 1])
    #expect(loader.deliveredBatches == 3)
    #expect(try loader.next() == nil && loader.deliveredBatches == 3)
  }

  @Test func overfitRepeatsOnePlainBatch() throws {
    let batches = try record(train, options(threads: 2, depth: 2), .overfit, steps: 7)
    let training = try record(train, options(), .training(startStep: 0), steps: 1)
    #expect(batches.map(\.step) == Array(0..<7))
    for batch in batches {
      #expect(batch.indices == training[0].indices && batch.pixels == batches[0].pixels)
    }
    for (index, picture) in zip(batches[0].indices, batches[0].pictures) {
      #expect(try picture == plainPicture(train.set.images[index], side: 6))
    }
  }

  /// An epoch's later passes read no file.
  @Test func filesAreDecodedOnce() throws {
    _ = try record(train, options(), .training(startStep: 0), steps: 20)
    #expect(train.statistics.decoded == 18)
  }

  @Test func largeSourcesAndSinglePixels() throws {
    try folder.write("train/a/0.png", RGBImage.plain(width: 1, height: 1, [255, 0, 255]).png())
    try folder.write("train/a/1.png", RGBImage.plain(width: 3000, height: 1, [255, 0, 255]).png())
    let source = ImageSource(try ImageFolder(path: folder.path)[.train])
    let batch = try #require(try record(source, options(batch: 2), .evaluation, steps: 1).first)
    let pixel = [Float](repeating: 1, count: 36) + [Float](repeating: -1, count: 36)
    for picture in batch.pictures {
      #expect(zip(picture, pixel + pixel.prefix(36)).allSatisfy { abs($0 - $1) < 1e-5 })
    }
    _ = try record(source, options(batch: 18, threads: 2), .training(startStep: 0), steps: 3)
  }

  /// No storage is taken while a loader runs: its batches are written into the same few tensors, in turn.
  @Test(arguments: [1, 2, 4]) func storageGoesRound(depth: Int) throws {
    let loader = try ImageLoader(train, options: options(threads: 2, depth: depth), order: .training(startStep: 0))
    var places: [UInt] = []
    for step in 0..<20 {
      let batch = try #require(try loader.next())
      places.append(UInt(bitPattern: batch.pixels.pointer))
      // Giving a batch back early changes nothing about the order.
      if step % 3 == 0 { loader.recycle() }
    }
    #expect(Set(places).count == depth + 1)
    for step in depth + 1..<20 { #expect(places[step] == places[step - depth - 1]) }
  }

  @Test func refusesOptions() throws {
    func failure(_ change: (inout LoaderOptions) -> Void) -> String? {
      var changed = options()
      change(&changed)
      return message { _ = try ImageLoader(train, options: changed, order: .evaluation) }
    }
    #expect(failure { $0.batchSize = 0 } == "batch size is 0, expected 1 to 65536")
    #expect(failure { $0.imageSize = 5000 } == "image size is 5000, expected 1 to 4096")
    #expect(failure { $0.threads = 0 } == "loader threads is 0, expected 1 to 256")
    #expect(failure { $0.depth = -1 } == "prefetch depth is -1, expected 1 to 256")
    #expect(failure { $0.ranks = 0 } == "ranks is 0, expected 1 to 1000000")
    #expect(failure { ($0.rank, $0.ranks) = (2, 2) } == "rank is 2, expected 0 to 1")
    #expect(failure { $0.augmentation.flip = 2 }?.contains("flip is 2.0") == true)
    #expect(failure { $0.normalization.deviation[1] = 0 }?.contains("expected positive numbers") == true)
    let negative = message { _ = try ImageLoader(train, options: options(), order: .training(startStep: -1)) }
    #expect(negative == "start step is -1, expected 0 or more")
    let empty = ImageSource(ImageSet(split: .val, classes: ["a"], images: []))
    let nothing = message { _ = try ImageLoader(empty, options: options(), order: .evaluation) }
    #expect(nothing == "the val set has no images")
  }
}
