import CHDF5
import Foundation
import Synchronization

/// The checksum of a file: XXH3-64 of the XXH3-64 digests of its blocks.
///
/// Blocks lie at multiples of their size, the first one without the user block. Several cores can sum them up, and a
/// writer can while the bytes are still in its hands.
struct BlockDigests {
  /// Bytes of a block: a large dataset is whole blocks but for its ends.
  static let block = 256 << 10
  /// Blocks that one thread reads at a time.
  private static let blocksPerTurn = 16

  private var known: [Int: UInt64] = [:]

  /// The whole blocks inside a range of the file.
  static func whole(in range: Range<Int>) -> Range<Int> {
    let first = (range.lowerBound + block - 1) / block
    return first..<max(first, range.upperBound / block)
  }

  /// Notes what a block will hold; its place in the file is `number * block`.
  mutating func add(_ number: Int, _ bytes: UnsafeRawPointer) { known[number] = mmoe_checksum(bytes, Self.block) }

  /// Sums the file up to `end`, reading the blocks that are not known.
  ///
  /// - Returns: 0, an errno, or −1 when the file is shorter.
  func checksum(of file: OpenFile, end: Int, _ sum: inout UInt64) -> Int32 {
    let count = (max(end, 1) + Self.block - 1) / Self.block
    let turns = missing(of: count)
    posix_fadvise(file.descriptor, 0, 0, POSIX_FADV_SEQUENTIAL)
    let status = Atomic<Int32>(0)
    var digests = (0..<count).map { known[$0] ?? 0 }
    digests.withUnsafeMutableBufferPointer { digests in
      nonisolated(unsafe) let digests = digests
      DispatchQueue.concurrentPerform(iterations: turns.count) { turn in
        let blocks = turns[turn]
        let found = mmoe_digest_blocks(
          file.descriptor, UInt64(Self.block), UInt64(max(UserBlock.size, blocks.lowerBound * Self.block)),
          UInt64(min(end, blocks.upperBound * Self.block)), digests.baseAddress! + blocks.lowerBound)
        if found != 0 { status.store(found, ordering: .relaxed) }
      }
    }
    sum = digests.map(\.littleEndian).withUnsafeBytes { mmoe_checksum($0.baseAddress, $0.count) }
    return status.load(ordering: .relaxed)
  }

  /// Runs of blocks that are not known, none longer than a turn.
  private func missing(of count: Int) -> [Range<Int>] {
    var runs: [Range<Int>] = []
    for number in 0..<count where known[number] == nil {
      if let last = runs.last, last.upperBound == number, last.count < Self.blocksPerTurn {
        runs[runs.count - 1] = last.lowerBound..<number + 1
      } else {
        runs.append(number..<number + 1)
      }
    }
    return runs
  }
}
