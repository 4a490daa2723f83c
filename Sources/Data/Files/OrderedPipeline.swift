import Foundation

/// Reads items one after the other, works on several at a time, and delivers the results in the order of reading.
///
/// What is delivered does not depend on the number of threads, and of several errors the first item's is thrown.
final class OrderedPipeline<Input, Output>: @unchecked Sendable {
  private let condition = NSCondition()
  private let read: () throws -> Input?
  private let work: (Input) throws -> Output
  private let deliver: (Output) throws -> Void
  private let ahead: Int
  // All below are guarded by `condition`.
  private var isReading = false
  private var isDelivering = false
  private var nextIndex = 0
  private var delivered = 0
  private var isAtEnd = false
  private var results: [Int: Result<Output, any Error>] = [:]
  private var failure: (any Error)?

  private init(
    ahead: Int, read: @escaping () throws -> Input?, work: @escaping (Input) throws -> Output,
    deliver: @escaping (Output) throws -> Void
  ) {
    self.ahead = ahead
    self.read = read
    self.work = work
    self.deliver = deliver
  }

  /// - Parameters:
  ///   - threads: that work; reading and delivering is done by one of them at a time.
  ///   - read: the next item, nil at the end.
  ///   - work: called from several threads at once.
  ///   - deliver: called with one result after the other.
  /// - Throws: the first error in the order of items.
  static func run(
    threads: Int, read: @escaping () throws -> Input?, work: @escaping (Input) throws -> Output,
    deliver: @escaping (Output) throws -> Void
  ) throws {
    let pipeline = OrderedPipeline(ahead: 2 * max(threads, 1), read: read, work: work, deliver: deliver)
    let group = DispatchGroup()
    for index in 1..<max(threads, 1) {
      group.enter()
      let thread = Thread {
        pipeline.loop()
        group.leave()
      }
      thread.name = "mmoe-pipeline-\(index)"
      thread.start()
    }
    pipeline.loop()
    group.wait()
    if let failure = pipeline.failure { throw failure }
  }

  private func loop() {
    while let (index, input) = claim() {
      let result = Result { try work(input) }
      condition.lock()
      results[index] = result
      deliverReady()
      condition.unlock()
    }
  }

  /// Reads the next item; waits while another thread reads or too many results wait.
  private func claim() -> (Int, Input)? {
    condition.lock()
    defer { condition.unlock() }
    while failure == nil && !isAtEnd && (isReading || nextIndex - delivered >= ahead) { condition.wait() }
    guard failure == nil && !isAtEnd else { return nil }
    isReading = true
    condition.unlock()
    let found = Result { try read() }
    condition.lock()
    isReading = false
    defer { condition.broadcast() }
    let index = nextIndex
    nextIndex += 1
    switch found {
    case .success(.some(let input)):
      return (index, input)
    case .success(.none):
      isAtEnd = true
    case .failure(let error):
      // In its turn: an item before it may fail too.
      isAtEnd = true
      results[index] = .failure(error)
      deliverReady()
    }
    return nil
  }

  /// Delivers all results whose turn it is, unless another thread is about it. Called with the lock.
  private func deliverReady() {
    guard !isDelivering else { return }
    isDelivering = true
    while failure == nil, let result = results.removeValue(forKey: delivered) {
      condition.unlock()
      let outcome = Result { try deliver(result.get()) }
      condition.lock()
      delivered += 1
      if case .failure(let error) = outcome { failure = error }
      condition.broadcast()
    }
    isDelivering = false
  }
}
