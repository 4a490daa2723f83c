import Foundation
import Synchronization
import Testing

@testable import MMoEData

/// Runs a body in a thread of its own; false when it is not over in time.
///
/// A blocked thread cannot be stopped: where it is waited for, the whole test run would hang.
func finishes(within seconds: Double, _ body: @escaping @Sendable () -> Void) -> Bool {
  let over = DispatchSemaphore(value: 0)
  Thread {
    body()
    over.signal()
  }.start()
  return over.wait(timeout: .now() + seconds) == .success
}

/// The meeting point of workers and consumer, worker by worker and step by step without chance.
@Suite struct BatchRingTests {
  /// A ring of `slots` batches of 20 out of `images` images, in evaluation order.
  private func ring(images: Int = 100, slots: Int = 2) -> BatchRing<ImageSlot> {
    let order = SampleOrder(
      order: .evaluation, images: images, division: BatchDivision(batch: 20, rank: 0, ranks: 1, accumulation: 1),
      seed: 0)
    return BatchRing(
      firstStep: 0, slots: (0..<slots).map { _ in ImageSlot(batchSize: 20, imageSize: 1) }, entries: order.entries)
  }

  /// All of one batch's pieces.
  private func claimBatch(_ ring: BatchRing<ImageSlot>, pieces: Int = 3) throws -> [BatchRing<ImageSlot>.Work] {
    try (0..<pieces).map { _ in try #require(ring.claim()) }
  }

  /// The next batch's step, nil at the end; an error where there is none within 20 s.
  private func nextStep(_ ring: BatchRing<ImageSlot>) throws -> Int? {
    let answer = Mutex<Result<Int?, any Error>>(.failure(DataError("no batch in time")))
    _ = finishes(within: 20) {
      let found = Result { try ring.next()?.step }
      answer.withLock { $0 = found }
    }
    return try answer.withLock { try $0.get() }
  }

  @Test func workersShareABatch() throws {
    let ring = ring()
    let works = try claimBatch(ring, pieces: 6)
    #expect(works.map(\.samples) == [0..<8, 8..<16, 16..<20, 0..<8, 8..<16, 16..<20])
    #expect(works.map(\.slot.progress.step) == [0, 0, 0, 1, 1, 1])
    #expect(works[0].slot === works[2].slot && works[0].slot !== works[3].slot)
  }

  @Test func batchesLeaveInOrder() throws {
    let ring = ring()
    let first = try claimBatch(ring)
    let second = try claimBatch(ring)
    // The second batch is ready before the first, and pieces end in any order.
    for work in second + first.reversed() { ring.finish(work, error: nil) }
    #expect(try nextStep(ring) == 0)
    #expect(try nextStep(ring) == 1)
  }

  @Test func incompleteBatchIsWaitedFor() throws {
    let ring = ring()
    let works = try claimBatch(ring)
    for work in works.dropLast() { ring.finish(work, error: nil) }
    let delivered = DispatchSemaphore(value: 0)
    Thread {
      if (try? ring.next()?.step) == 0 { delivered.signal() }
    }.start()
    #expect(delivered.wait(timeout: .now() + 0.05) == .timedOut)
    ring.finish(works[2], error: nil)
    #expect(delivered.wait(timeout: .now() + 20) == .success)
  }

  /// The consumer's batch is not written to until it is given back.
  @Test func fullRingIsWaitedFor() throws {
    let ring = ring()
    for work in try claimBatch(ring, pieces: 6) { ring.finish(work, error: nil) }
    #expect(try nextStep(ring) == 0)
    let claimed = DispatchSemaphore(value: 0)
    Thread {
      if ring.claim()?.slot.progress.step == 2 { claimed.signal() }
    }.start()
    #expect(claimed.wait(timeout: .now() + 0.05) == .timedOut)
    ring.release()
    #expect(claimed.wait(timeout: .now() + 20) == .success)
  }

  @Test func passEnds() throws {
    let ring = ring(images: 30, slots: 4)
    let works = try claimBatch(ring) + claimBatch(ring, pieces: 2)
    #expect(works.map(\.samples.count) == [8, 8, 4, 8, 2])
    #expect(ring.claim() == nil && ring.claim() == nil)
    for work in works { ring.finish(work, error: nil) }
    #expect(try (0..<4).map { _ in try nextStep(ring) } == [0, 1, nil, nil])
  }

  /// The batches before the failed one are good.
  @Test func errorComesInItsTurn() throws {
    let ring = ring()
    let first = try claimBatch(ring)
    let second = try claimBatch(ring)
    ring.finish(second[1], error: DataError("first"))
    ring.finish(second[0], error: DataError("later"))
    for work in first { ring.finish(work, error: nil) }
    #expect(try nextStep(ring) == 0)
    for _ in 0..<3 { #expect(throws: DataError("first")) { try nextStep(ring) } }
    ring.close()
    #expect(try nextStep(ring) == nil)
  }

  @Test func closeWakesEveryone() throws {
    let (full, empty) = (ring(), ring())
    _ = try claimBatch(full, pieces: 6)
    let woken = DispatchSemaphore(value: 0)
    for _ in 0..<3 {
      Thread {
        if full.claim() == nil { woken.signal() }
      }.start()
    }
    Thread {
      if (try? empty.next() == nil) == true { woken.signal() }
    }.start()
    #expect(woken.wait(timeout: .now() + 0.05) == .timedOut)
    full.close()
    empty.close()
    for _ in 0..<4 { #expect(woken.wait(timeout: .now() + 20) == .success) }
  }
}
