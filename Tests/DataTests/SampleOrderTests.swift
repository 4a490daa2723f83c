import Testing

@testable import MMoEData

/// The arithmetic from a step to its samples, without files or threads.
@Suite struct SampleOrderTests {
  private func order(
    _ order: LoaderOrder, images: Int, batch: Int, seed: UInt64 = 3, rank: Int = 0, ranks: Int = 1,
    accumulation: Int = 1
  ) -> SampleOrder {
    let division = BatchDivision(batch: batch, rank: rank, ranks: ranks, accumulation: accumulation)
    return SampleOrder(order: order, images: images, division: division, seed: seed)
  }

  /// The first `count` entries of the training stream, read in batches.
  private func stream(images: Int, batch: Int, seed: UInt64 = 3, count: Int) throws -> [SampleEntry] {
    let order = order(.training(startStep: 0), images: images, batch: batch, seed: seed)
    var entries: [SampleEntry] = []
    for step in 0..<(count + batch - 1) / batch { entries += try #require(order.entries(step: step)) }
    return Array(entries.prefix(count))
  }

  /// Batches that divide an epoch, span two, and span many.
  @Test(arguments: [1, 4, 5, 10, 16, 35]) func everyImageOnceAnEpoch(batch: Int) throws {
    let entries = try stream(images: 10, batch: batch, count: 50)
    var orders: [[Int]] = []
    for epoch in 0..<5 {
      let part = entries[epoch * 10..<(epoch + 1) * 10]
      #expect(part.allSatisfy { $0.epoch == epoch })
      #expect(part.map(\.index).sorted() == Array(0..<10))
      orders.append(part.map(\.index))
    }
    #expect(Set(orders).count == 5 && orders.allSatisfy { $0 != Array(0..<10) })
  }

  @Test func batchSizeOnlyCutsTheStream() throws {
    let whole = try stream(images: 13, batch: 1, count: 100)
    for batch in [2, 3, 13, 14, 40, 100] {
      #expect(try stream(images: 13, batch: batch, count: 100) == whole)
    }
    #expect(try stream(images: 13, batch: 1, seed: 4, count: 100) != whole)
  }

  /// A resumed run asks for a late step first; an evaluation between may ask again for an early one.
  @Test func stepsMayComeInAnyOrder() {
    let forward = order(.training(startStep: 0), images: 7, batch: 3)
    let expected = (0..<40).map { forward.entries(step: $0) }
    let jumping = order(.training(startStep: 33), images: 7, batch: 3)
    #expect(jumping.firstStep == 33)
    for step in [33, 34, 0, 39, 17, 1, 33] { #expect(jumping.entries(step: step) == expected[step]) }
  }

  @Test(arguments: [2, 4]) func ranksPartitionTheBatch(ranks: Int) throws {
    let single = order(.training(startStep: 0), images: 10, batch: 3 * ranks)
    let parts = (0..<ranks).map {
      order(.training(startStep: 0), images: 10, batch: 3, rank: $0, ranks: ranks)
    }
    for step in 0..<12 {
      #expect(try parts.flatMap { try #require($0.entries(step: step)) } == single.entries(step: step))
    }
  }

  @Test func evaluationEndsWithAShortBatch() {
    let one = order(.evaluation, images: 10, batch: 4)
    #expect((0..<4).map { one.entries(step: $0)?.map(\.index) } == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], nil])
    #expect(order(.evaluation, images: 8, batch: 4).entries(step: 2) == nil)
    // Of two ranks the second has nothing left in the last step.
    let second = order(.evaluation, images: 10, batch: 4, rank: 1, ranks: 2)
    #expect((0..<2).map { second.entries(step: $0)?.map(\.index) } == [[4, 5, 6, 7], nil])
  }

  @Test func overfitRepeatsTheFirstTrainingBatch() {
    let training = order(.training(startStep: 0), images: 10, batch: 4, rank: 1, ranks: 2)
    let overfit = order(.overfit, images: 10, batch: 4, rank: 1, ranks: 2)
    for step in [0, 1, 500] { #expect(overfit.entries(step: step) == training.entries(step: 0)) }
    // More than there is: the batch goes on with the next epoch's order.
    #expect(order(.overfit, images: 3, batch: 8).entries(step: 0)?.count == 8)
  }

  @Test func stepsPerEpoch() {
    #expect(ImageLoader.stepsPerEpoch(images: 100, batchSize: 10) == 10)
    #expect(ImageLoader.stepsPerEpoch(images: 109, batchSize: 10) == 10)
    #expect(ImageLoader.stepsPerEpoch(images: 100, batchSize: 10, ranks: 3) == 3)
    #expect(ImageLoader.stepsPerEpoch(images: 5, batchSize: 10) == 1)
  }
}
