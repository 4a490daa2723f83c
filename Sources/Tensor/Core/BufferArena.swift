import Foundation

/// MADV_HUGEPAGE, which the C library guards by a feature macro.
private let adviseHugePages: Int32 = 14

/// One range of addresses from which large buffers are cut, and in which free neighbors join.
///
/// A gradient can so stand where activations of other sizes have stood, which free lists by size do not allow: the
/// memory taken is that of a step's largest moment, not the sum of the largest numbers of every size. A step takes and
/// gives the same sequence of sizes every time, so places repeat and the range stops growing with the second step.
/// Its owner guards it.
struct BufferArena: @unchecked Sendable {
  /// Buffers are whole pages.
  static let page = 4096
  /// The range grows by whole huge pages: first-touch page faults are what makes the first steps slow.
  private static let growth = 2 << 20

  private struct Gap {
    var start: Int
    var length: Int
    var end: Int { start + length }
  }

  private let base: UnsafeMutableRawPointer
  private let capacity: Int
  /// Bytes of the range that are in use or were.
  private(set) var grown = 0
  /// Free parts of the grown range by address; no two touch.
  private var gaps: [Gap] = []

  /// Reserves addresses, no memory; fewer than asked for where virtual memory is limited.
  ///
  /// - Parameter capacity: bytes that the range can grow to.
  init(capacity: Int) {
    let room = min(capacity, MemoryLimit.virtualBytesForBuffers ?? capacity)
    self.capacity = room / BufferArena.growth * BufferArena.growth
    let range = mmap(
      nil, self.capacity + BufferArena.growth, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | Int32(MAP_NORESERVE), -1, 0)
    guard let range, range != MAP_FAILED else {
      MemoryLimit.stop("no range of addresses for buffers")
    }
    let past = Int(bitPattern: range) % BufferArena.growth
    base = range + (past == 0 ? 0 : BufferArena.growth - past)
  }

  /// The bytes that a buffer of `bytes` occupies.
  static func size(_ bytes: Int) -> Int { (bytes + page - 1) / page * page }

  /// Cuts a buffer of `bytes` from the smallest gap that holds it, the first one of equals.
  ///
  /// - Returns: its address, and whether the range had to grow; nil when it cannot.
  mutating func take(_ bytes: Int) -> (address: UnsafeMutableRawPointer, grew: Bool)? {
    let size = BufferArena.size(bytes)
    var best: Int?
    for (index, gap) in gaps.enumerated()
    where gap.length >= size && (best.map { gap.length < gaps[$0].length } ?? true) { best = index }
    if let best { return (cut(size, from: best), false) }
    // A gap at the end grows to the size.
    let last = gaps.last.flatMap { $0.end == grown ? $0.length : nil } ?? 0
    let more = (size - last + BufferArena.growth - 1) / BufferArena.growth * BufferArena.growth
    guard grown + more <= capacity, mprotect(base + grown, more, PROT_READ | PROT_WRITE) == 0 else { return nil }
    madvise(base + grown, more, adviseHugePages)
    insert(Gap(start: grown, length: more))
    grown += more
    return (cut(size, from: gaps.count - 1), true)
  }

  /// Gives a buffer of `bytes` back.
  mutating func give(_ address: UnsafeMutableRawPointer, _ bytes: Int) {
    insert(Gap(start: address - base, length: BufferArena.size(bytes)))
  }

  private mutating func cut(_ size: Int, from index: Int) -> UnsafeMutableRawPointer {
    let start = gaps[index].start
    if gaps[index].length == size {
      gaps.remove(at: index)
    } else {
      gaps[index] = Gap(start: start + size, length: gaps[index].length - size)
    }
    return base + start
  }

  private mutating func insert(_ gap: Gap) {
    var (low, high) = (0, gaps.count)
    while low < high {
      let middle = (low + high) / 2
      if gaps[middle].start < gap.start { low = middle + 1 } else { high = middle }
    }
    let joinsNext = low < gaps.count && gap.end == gaps[low].start
    let joinsPrevious = low > 0 && gaps[low - 1].end == gap.start
    switch (joinsPrevious, joinsNext) {
    case (true, true):
      gaps[low - 1].length += gap.length + gaps[low].length
      gaps.remove(at: low)
    case (true, false): gaps[low - 1].length += gap.length
    case (false, true): gaps[low] = Gap(start: gap.start, length: gap.length + gaps[low].length)
    case (false, false): gaps.insert(gap, at: low)
    }
  }
}
