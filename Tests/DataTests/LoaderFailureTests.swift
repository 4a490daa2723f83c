import Foundation
import Testing

@testable import MMoEData

/// Bad files among good ones, and loaders that are stopped in the middle of their work.
@Suite struct LoaderFailureTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    try folder.makeImages()
  }

  /// The 18 training images, of which some are damaged.
  private func source(bad: [Int], policy: BadImagePolicy) throws -> ImageSource {
    let set = try ImageFolder(path: folder.path)[.train]
    for index in bad { try writeFile(set.images[index].path, Array("damaged".utf8)) }
    return ImageSource(set, policy: policy)
  }

  private func options(batch: Int = 4, threads: Int = 2, depth: Int = 2) -> LoaderOptions {
    LoaderOptions(batchSize: batch, imageSize: 4, seed: 2, threads: threads, depth: depth)
  }

  @Test(arguments: [1, 2, 5]) func errorNamesTheFileAgainAndAgain(threads: Int) throws {
    let source = try source(bad: [9], policy: .error)
    let loader = try ImageLoader(source, options: options(threads: threads), order: .evaluation)
    // The batches before the bad one are delivered.
    #expect(try loader.next()?.indices == [0, 1, 2, 3])
    #expect(try loader.next()?.indices == [4, 5, 6, 7])
    for _ in 0..<3 {
      let text = try #require(message { _ = try loader.next() })
      #expect(text.hasPrefix("\(source.set.images[9].path): not a PNG file"))
      #expect(text.hasSuffix("--on-bad-image skip") && !text.contains("\n"))
    }
    #expect(loader.deliveredBatches == 2)
    loader.close()
    #expect(try loader.next() == nil)
  }

  /// Batches keep their size, and which image takes a bad one's place does not depend on timing.
  @Test(arguments: [1, 2, 5]) func skippingKeepsTheBatchSize(threads: Int) throws {
    // One alone, two in a row, and the last one, which the first good image replaces.
    let bad = [4, 9, 10, 17]
    let order = SampleOrder(
      order: .training(startStep: 0), images: 18,
      division: BatchDivision(batch: 4, rank: 0, ranks: 1, accumulation: 1), seed: 2)
    let replaced = [4: 5, 9: 11, 10: 11, 17: 0]
    let source = try source(bad: bad, policy: .skip)
    let batches = try record(source, options(threads: threads), .training(startStep: 0), steps: 14)
    for batch in batches {
      let drawn = try #require(order.entries(step: batch.step)).map(\.index)
      #expect(batch.indices == drawn.map { replaced[$0] ?? $0 })
      #expect(batch.labels == batch.indices.map { Int32($0 / 6) })
    }
    #expect(source.statistics.bad.keys.sorted() == bad)
    // A replacement is the image that it shows, not the label of another.
    for batch in batches.prefix(5) {
      for (index, picture) in zip(batch.indices, batch.pictures) {
        #expect(try picture == plainPicture(source.set.images[index], side: 4))
      }
    }
  }

  /// An evaluation counts every good image once and makes none up.
  @Test(arguments: [1, 5]) func skippingInEvaluationLeavesOut(threads: Int) throws {
    // The second batch is bad as a whole.
    let source = try source(bad: [1, 4, 5, 6, 7, 10, 16, 17], policy: .skip)
    let batches = try record(source, options(threads: threads, depth: 1), .evaluation)
    #expect(batches.map(\.indices) == [[0, 2, 3], [8, 9, 11], [12, 13, 14, 15]])
    #expect(batches.map(\.step) == [0, 2, 3])
    // Labels and pictures moved up with their indices.
    for batch in batches { #expect(batch.labels == batch.indices.map { Int32($0 / 6) }) }
    for (index, picture) in zip(batches[0].indices, batches[0].pictures) {
      #expect(try picture == plainPicture(source.set.images[index], side: 4))
    }
  }

  @Test func nothingReadable() throws {
    let source = try source(bad: Array(0..<18), policy: .skip)
    let training = message {
      _ = try ImageLoader(source, options: options(), order: .training(startStep: 0)).next()
    }
    #expect(training == "all 18 images of train are unreadable")
    #expect(try record(source, options(), .evaluation).isEmpty)
  }

  /// Pictures that take a worker some milliseconds each.
  private func slowSource() throws -> ImageSource {
    let file = try RGBImage.random(width: 1200, height: 800).png(compression: 1)
    for name in ["0", "1", "2", "3"] { try folder.write("train/slow/\(name).png", file) }
    let entries = (0..<4).map { ImageSet.Entry(path: "\(folder.path)/train/slow/\($0).png", label: 0) }
    return ImageSource(ImageSet(split: .train, classes: ["slow"], images: entries), cacheBytes: 0)
  }

  @Test(.timeLimit(.minutes(1))) func closesWhileWorkersAreBusy() throws {
    let source = try slowSource()
    nonisolated(unsafe) let loader = try ImageLoader(
      source, options: options(batch: 640, threads: 3), order: .training(startStep: 0))
    Thread.sleep(forTimeInterval: 0.03)
    #expect(finishes(within: 30) { loader.close() })
    // The ring's three batches are left as they are, and no worker goes on.
    let decoded = source.statistics.decoded
    #expect(decoded < 3 * 640)
    Thread.sleep(forTimeInterval: 0.05)
    #expect(source.statistics.decoded == decoded)
    #expect(finishes(within: 30) { loader.close() })
    #expect(try loader.next() == nil)
  }

  @Test(.timeLimit(.minutes(1)), arguments: [LoaderOrder.training(startStep: 0), .evaluation, .overfit])
  func closesWhileWorkersWait(order: LoaderOrder) throws {
    let source = try source(bad: [], policy: .error)
    nonisolated(unsafe) let loader = try ImageLoader(source, options: options(threads: 5, depth: 1), order: order)
    #expect(try loader.next() != nil)
    // The ring is full by then.
    Thread.sleep(forTimeInterval: 0.02)
    #expect(finishes(within: 30) { loader.close() })
  }

  @Test(.timeLimit(.minutes(1))) func goingAwayStopsTheThreads() throws {
    let bad = try source(bad: [3], policy: .error)
    let options = options(threads: 4)
    #expect(
      finishes(within: 30) {
        for step in 0..<40 {
          let loader = try? ImageLoader(bad, options: options, order: .training(startStep: step))
          if step % 2 == 0 { _ = try? loader?.next() }
        }
      })
  }
}
