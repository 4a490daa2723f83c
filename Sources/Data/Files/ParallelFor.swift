import Foundation
import Synchronization

/// Runs `body(index)` for every index in `0..<count` on all cores, in pieces of `grain`.
///
/// - Throws: the error of the lowest piece that failed; pieces not yet started are then left out.
func parallelFor(
  _ count: Int, grain: Int, _ body: @Sendable (_ index: Int) throws -> Void
) throws {
  let pieces = (count + grain - 1) / grain
  let failure = Mutex<(piece: Int, error: any Error)?>(nil)
  DispatchQueue.concurrentPerform(iterations: pieces) { piece in
    guard failure.withLock({ $0 == nil }) else { return }
    do {
      for index in piece * grain..<min((piece + 1) * grain, count) { try body(index) }
    } catch {
      failure.withLock { kept in
        if kept.map({ piece < $0.piece }) ?? true { kept = (piece, error) }
      }
    }
  }
  if let failed = failure.withLock({ $0 }) { throw failed.error }
}

extension Array where Element: Sendable {
  /// The results of `transform` for every element, in order, computed on all cores.
  package func mapInParallel<Result: Sendable>(
    grain: Int = 16, _ transform: @Sendable (Element) throws -> Result
  ) throws -> [Result] {
    let results = Mutex<[Result?]>([Result?](repeating: nil, count: count))
    try parallelFor(count, grain: grain) { index in
      let result = try transform(self[index])
      results.withLock { $0[index] = result }
    }
    return results.withLock { $0.compactMap { $0 } }
  }
}
