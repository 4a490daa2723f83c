import CHDF5
import Foundation

/// Writes whole blocks of a file past the page cache, on a thread of its own, while the next ones are copied and summed
/// up.
///
/// Through the page cache a writer of gigabytes is held up by the kernel, which lets only so much wait for the disk, and
/// a training beside it loses the memory.
final class BlockWriter: @unchecked Sendable {
  /// What is written at a time.
  private static let chunk = 16 * BlockDigests.block
  /// What direct writes want of places and memory.
  private static let page = 4096

  private struct Job {
    let bytes: UnsafeMutableRawPointer
    let count: Int
    let offset: Int
  }

  private let descriptor: Int32
  private let condition = NSCondition()
  // All below are guarded by `condition`.
  private var free: [UnsafeMutableRawPointer]
  private var jobs: [Job] = []
  private var isClosed = false
  private var hasEnded = false
  /// The errno of the first failure.
  private var failure: Int32 = 0

  /// - Parameter file: open for writing; it is not closed.
  init(_ file: OpenFile) {
    let direct = mmoe_open_direct(file.descriptor)
    descriptor = direct >= 0 ? direct : dup(file.descriptor)
    // One is filled while the other is written.
    free = (0..<2).map { _ in .allocate(byteCount: BlockWriter.chunk, alignment: BlockWriter.page) }
    let thread = Thread { [self] in work() }
    thread.name = "mmoe-blocks"
    thread.start()
  }

  /// Writes blocks, which may still be on their way when this returns, and notes their digests.
  ///
  /// - Parameters:
  ///   - blocks: numbers of blocks of the file.
  ///   - source: their bytes; not used any more when this returns.
  /// - Returns: 0, or the errno of this or an earlier write.
  func write(_ blocks: Range<Int>, _ source: UnsafeRawPointer, _ digests: inout BlockDigests) -> Int32 {
    var blocks = blocks
    var source = source
    while !blocks.isEmpty {
      let count = min(blocks.count, BlockWriter.chunk / BlockDigests.block)
      condition.lock()
      while free.isEmpty && failure == 0 { condition.wait() }
      let failed = failure
      let buffer = failed == 0 ? free.removeLast() : nil
      condition.unlock()
      guard let buffer else { return failed }
      buffer.copyMemory(from: source, byteCount: count * BlockDigests.block)
      for number in 0..<count { digests.add(blocks.lowerBound + number, buffer + number * BlockDigests.block) }
      condition.lock()
      jobs.append(
        Job(bytes: buffer, count: count * BlockDigests.block, offset: blocks.lowerBound * BlockDigests.block))
      condition.broadcast()
      condition.unlock()
      source += count * BlockDigests.block
      blocks = blocks.dropFirst(count)
    }
    return 0
  }

  /// Waits for all writes and ends the thread; called once.
  ///
  /// - Returns: 0, or the errno of the first write that failed.
  func end() -> Int32 {
    condition.lock()
    isClosed = true
    condition.broadcast()
    while !hasEnded { condition.wait() }
    let failed = failure
    condition.unlock()
    for buffer in free { buffer.deallocate() }
    close(descriptor)
    return failed
  }

  private func work() {
    condition.lock()
    while true {
      guard !jobs.isEmpty else {
        if isClosed { break }
        condition.wait()
        continue
      }
      let job = jobs.removeFirst()
      let isOver = failure != 0
      condition.unlock()
      let status = isOver ? 0 : mmoe_write_all(descriptor, job.bytes, job.count, UInt64(job.offset))
      condition.lock()
      if failure == 0 { failure = status }
      free.append(job.bytes)
      condition.broadcast()
    }
    hasEnded = true
    condition.broadcast()
    condition.unlock()
  }
}
