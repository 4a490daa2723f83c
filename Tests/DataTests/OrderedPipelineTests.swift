import Foundation
import Synchronization
import Testing

@testable import MMoEData

/// Reading, working and delivering in order.
@Suite struct OrderedPipelineTests {
  /// Runs numbers through; which of them fail at which stage.
  private func run(
    threads: Int, count: Int = 200, readFails: Int? = nil, workFails: Set<Int> = [], deliverFails: Int? = nil
  ) -> (delivered: [Int], error: String?) {
    var next = 0
    var delivered: [Int] = []
    let found = message {
      try OrderedPipeline<Int, Int>.run(
        threads: threads,
        read: {
          if next == readFails { throw DataError("read \(next)") }
          defer { next += 1 }
          return next < count ? next : nil
        },
        work: { number in
          // The later ones are faster.
          if number % 7 == 0 { Thread.sleep(forTimeInterval: 0.001) }
          if workFails.contains(number) { throw DataError("work \(number)") }
          return number * number
        },
        deliver: { square in
          if square == deliverFails.map({ $0 * $0 }) { throw DataError("deliver") }
          delivered.append(square)
        })
    }
    return (delivered, found)
  }

  @Test(arguments: [1, 2, 3, 8]) func deliversInOrder(threads: Int) {
    let (delivered, error) = run(threads: threads)
    #expect(error == nil && delivered == (0..<200).map { $0 * $0 })
    #expect(run(threads: threads, count: 0).delivered.isEmpty)
  }

  /// What was before the error is delivered, and the first error in order is the one that is thrown.
  @Test(arguments: [1, 2, 3, 8]) func firstErrorInOrder(threads: Int) {
    let work = run(threads: threads, readFails: 78, workFails: [77, 79, 78, 150])
    #expect(work.error == "work 77" && work.delivered == (0..<77).map { $0 * $0 })
    let read = run(threads: threads, readFails: 78, workFails: [150])
    #expect(read.error == "read 78" && read.delivered.count == 78)
    let deliver = run(threads: threads, workFails: [42], deliverFails: 41)
    #expect(deliver.error == "deliver" && deliver.delivered.count == 41)
  }
}
