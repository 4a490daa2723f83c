/// From a pair of ids to the rank of its merge: open addressing over one array, since a dictionary's hashing costs more
/// than everything else in encoding.
struct PairTable: Sendable {
  static let none = Int32.max

  private struct Slot {
    var key: UInt64
    var rank: Int32
  }

  private let slots: [Slot]
  private let mask: Int

  init(_ merges: [BytePairTokenizer.Merge]) {
    var capacity = 16
    while capacity < 2 * merges.count { capacity *= 2 }
    mask = capacity - 1
    var slots = [Slot](repeating: Slot(key: .max, rank: PairTable.none), count: capacity)
    for (rank, merge) in merges.enumerated() {
      let key = PairTable.key(merge.left, merge.right)
      var index = PairTable.hash(key) & mask
      while slots[index].key != .max, slots[index].key != key { index = (index + 1) & mask }
      slots[index] = Slot(key: key, rank: Int32(rank))
    }
    self.slots = slots
  }

  /// The rank, or `none` where the pair does not merge.
  @inline(__always)
  func rank(_ left: Int32, _ right: Int32) -> Int32 {
    let key = PairTable.key(left, right)
    return slots.withUnsafeBufferPointer { slots in
      var index = PairTable.hash(key) & mask
      while true {
        if slots[index].key == key { return slots[index].rank }
        if slots[index].key == .max { return PairTable.none }
        index = (index + 1) & mask
      }
    }
  }

  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  private static func hash(_ key: UInt64) -> Int {
    Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> 32)
  }
}

/// A binary heap of (rank, place): the lowest rank first, of equal ones the leftmost.
struct RankHeap {
  private var items: [UInt64] = []

  mutating func push(rank: Int32, place: Int32) {
    items.append(UInt64(UInt32(bitPattern: rank)) << 32 | UInt64(UInt32(bitPattern: place)))
    var child = items.count - 1
    while child > 0, items[child] < items[(child - 1) / 2] {
      items.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func pop() -> (rank: Int32, place: Int32)? {
    guard let top = items.first else { return nil }
    let last = items.removeLast()
    if !items.isEmpty {
      items[0] = last
      var parent = 0
      while true {
        var child = 2 * parent + 1
        guard child < items.count else { break }
        if child + 1 < items.count, items[child + 1] < items[child] { child += 1 }
        guard items[child] < items[parent] else { break }
        items.swapAt(child, parent)
        parent = child
      }
    }
    return (
      Int32(bitPattern: UInt32(truncatingIfNeeded: top >> 32)), Int32(bitPattern: UInt32(truncatingIfNeeded: top))
    )
  }
}

/// Ids of pieces met before: text repeats its words. Bounded, so that a long corpus of rare words cannot fill memory.
struct PieceCache: Sendable {
  private struct Entry {
    var hash: UInt64 = 0
    var start: Int32 = 0
    var length: Int32 = -1
    var idStart: Int32 = 0
    var idCount: Int32 = 0
  }

  private static let capacity = 1 << 17
  private static let longest = 48
  private var entries = [Entry](repeating: Entry(), count: PieceCache.capacity)
  private var bytes: [UInt8] = []
  private var ids: [Int32] = []
  private var count = 0

  /// Appends the piece's ids where they are known.
  func append(_ piece: UnsafeBufferPointer<UInt8>, to output: inout [Int32]) -> Bool {
    guard piece.count <= PieceCache.longest, let slot = find(piece, PieceCache.hash(piece)), entries[slot].length >= 0
    else { return false }
    let entry = entries[slot]
    for i in Int(entry.idStart)..<Int(entry.idStart + entry.idCount) { output.append(ids[i]) }
    return true
  }

  mutating func insert(_ piece: UnsafeBufferPointer<UInt8>, _ pieceIDs: ArraySlice<Int32>) {
    guard piece.count <= PieceCache.longest, count < PieceCache.capacity / 2 else { return }
    let hash = PieceCache.hash(piece)
    guard let slot = find(piece, hash), entries[slot].length < 0 else { return }
    entries[slot] = Entry(
      hash: hash, start: Int32(bytes.count), length: Int32(piece.count), idStart: Int32(ids.count),
      idCount: Int32(pieceIDs.count))
    bytes += piece
    ids += pieceIDs
    count += 1
  }

  /// The piece's slot, or the free one where it would go.
  private func find(_ piece: UnsafeBufferPointer<UInt8>, _ hash: UInt64) -> Int? {
    var slot = Int(truncatingIfNeeded: hash >> 20) & (PieceCache.capacity - 1)
    for _ in 0..<PieceCache.capacity {
      let entry = entries[slot]
      if entry.length < 0 { return slot }
      if entry.hash == hash, Int(entry.length) == piece.count,
        bytes.withUnsafeBufferPointer({ bytes in
          for i in 0..<piece.count where bytes[Int(entry.start) + i] != piece[i] { return false }
          return true
        })
      {
        return slot
      }
      slot = (slot + 1) & (PieceCache.capacity - 1)
    }
    return nil
  }

  private static func hash(_ piece: UnsafeBufferPointer<UInt8>) -> UInt64 {
    var h: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in piece { h = (h ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
    return h ^ (h >> 29)
  }
}
