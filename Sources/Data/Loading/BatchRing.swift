import Foundation
import MMoEFiles

/// The meeting point of a loader's workers and its consumer: a ring of batches, filled in order of steps and
/// handed out in the same order.
///
/// A worker takes a few samples at a time, so that several work on one batch and the first is ready early.
final class BatchRing<Slot: RingSlot>: @unchecked Sendable {
  /// What a worker is to do.
  struct Work {
    let slot: Slot
    /// The batch's entries, of which `samples` are to be prepared.
    let entries: [Slot.Entry]
    let samples: Range<Int>
  }

  private let samplesPerClaim = 8
  private let entries: (_ step: Int) -> [Slot.Entry]?
  private let slots: [Slot]
  private let condition = NSCondition()
  // All below are guarded by `condition`.
  private var openedSteps: Int
  private var deliveredSteps: Int
  private var releasedSteps: Int
  private var isOver = false
  private var isClosed = false
  private var filling: Slot?

  /// - Parameters:
  ///   - firstStep: where the stream starts.
  ///   - slots: one more than the batches to prepare ahead: one is in the consumer's hands.
  ///   - entries: what a step consists of, or nil past the end.
  init(firstStep: Int, slots: [Slot], entries: @escaping (_ step: Int) -> [Slot.Entry]?) {
    self.entries = entries
    self.slots = slots
    openedSteps = firstStep
    deliveredSteps = openedSteps
    releasedSteps = openedSteps
  }

  /// The next piece of work; waits for a free batch. Nil when the pass is over or the ring closed.
  func claim() -> Work? {
    condition.lock()
    defer { condition.unlock() }
    while !isClosed {
      if let slot = filling, let samples = slot.progress.claim(samplesPerClaim) {
        return Work(slot: slot, entries: slot.progress.entries, samples: samples)
      }
      guard !isOver else { return nil }
      guard openedSteps - releasedSteps < slots.count else {
        condition.wait()
        continue
      }
      guard let entries = entries(openedSteps) else {
        isOver = true
        condition.broadcast()
        return nil
      }
      let slot = slots[openedSteps % slots.count]
      slot.progress = SlotProgress(step: openedSteps, entries: entries)
      filling = slot
      openedSteps += 1
      condition.broadcast()
    }
    return nil
  }

  /// Reports a piece of work as done, or why it failed.
  func finish(_ work: Work, error: DataError?) {
    condition.lock()
    work.slot.progress.finish(work.samples.count, error: error)
    if work.slot.progress.isReady { condition.broadcast() }
    condition.unlock()
  }

  /// The next batch in order, once it is complete; nil when the pass is over. The consumer holds one batch at
  /// a time: the one before is released by this call.
  ///
  /// - Throws: the first error of the batch's samples, again at every later call.
  func next() throws -> Slot.Batch? {
    condition.lock()
    defer { condition.unlock() }
    releaseLocked()
    while true {
      guard !isClosed else { return nil }
      if deliveredSteps < openedSteps {
        let slot = slots[deliveredSteps % slots.count]
        if slot.progress.isReady {
          if let error = slot.progress.error { throw error }
          deliveredSteps += 1
          if let batch = slot.batch() { return batch }
          releaseLocked()
          continue
        }
      } else if isOver {
        return nil
      }
      condition.wait()
    }
  }

  /// Lets the workers use the delivered batch's storage again.
  func release() {
    condition.lock()
    releaseLocked()
    condition.unlock()
  }

  /// Makes every waiting and future call return nil.
  func close() {
    condition.lock()
    isClosed = true
    condition.broadcast()
    condition.unlock()
  }

  private func releaseLocked() {
    guard releasedSteps < deliveredSteps else { return }
    releasedSteps = deliveredSteps
    condition.broadcast()
  }
}

/// - Throws: `DataError` naming an option out of its range.
func requireOption(_ field: String, _ value: Int, _ range: ClosedRange<Int>) throws {
  guard range.contains(value) else {
    throw DataError(field: "\(field)", found: "\(value)", expected: "\(range.lowerBound) to \(range.upperBound)")
  }
}

/// What every loader that fills a ring can be told.
///
/// - Throws: `DataError` naming an option out of its range.
func requireStreamOptions(threads: Int, depth: Int, rank: Int, ranks: Int) throws {
  try requireOption("loader threads", threads, 1...256)
  try requireOption("prefetch depth", depth, 1...256)
  try requireOption("ranks", ranks, 1...1_000_000)
  try requireOption("rank", rank, 0...(ranks - 1))
}
