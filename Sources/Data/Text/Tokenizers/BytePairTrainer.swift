import MMoEFiles

/// Learns byte-pair merges from text. Deterministic: of equally frequent pairs the one with the lower ids is first.
public struct BytePairTrainer {
  private struct Word {
    var symbols: [Int32]
    let count: Int
  }

  private var words: [Word]
  private var counts: [UInt64: Int] = [:]
  /// Words that contained a pair at some time; stale ones are passed over.
  private var places: [UInt64: [Int32]] = [:]

  /// Splits the text and counts its pieces.
  public init(_ text: [UInt8]) {
    var pieces: [ArraySlice<UInt8>: Int] = [:]
    text.withUnsafeBufferPointer { buffer in
      var splitter = PreSplitter(buffer)
      while let range = splitter.next() {
        pieces[text[range], default: 0] += 1
      }
    }
    words = pieces.map { Word(symbols: $0.key.map(Int32.init), count: $0.value) }
      // A dictionary's order changes from run to run.
      .sorted { $0.count != $1.count ? $0.count > $1.count : $0.symbols.lexicographicallyPrecedes($1.symbols) }
    for (index, word) in words.enumerated() { register(word, at: Int32(index), sign: 1) }
  }

  /// - Parameters:
  ///   - vocabularySize: 256 bytes and the merges; fewer are learned when no pair occurs twice any more.
  ///   - progress: called with the number of tokens so far.
  /// - Throws: `DataError` for a size below 257.
  public mutating func train(
    vocabularySize: Int, progress: ((Int) -> Void)? = nil
  ) throws -> BytePairTokenizer {
    guard vocabularySize > 256 else {
      throw DataError("vocabulary of \(vocabularySize) tokens: expected at least 257, the 256 bytes and a merge")
    }
    var tokens = (0..<256).map { [UInt8($0)] }
    var merges: [BytePairTokenizer.Merge] = []
    var heap = PairHeap(counts.map { ($0.value, $0.key) })
    while tokens.count < vocabularySize, let (count, pair) = heap.pop() {
      let current = counts[pair] ?? 0
      guard current == count else {
        if current > 1 { heap.push(current, pair) }
        continue
      }
      guard count > 1 else { break }
      let (left, right) = (Int32(truncatingIfNeeded: pair >> 32), Int32(truncatingIfNeeded: pair & 0xFFFF_FFFF))
      let result = Int32(tokens.count)
      tokens.append(tokens[Int(left)] + tokens[Int(right)])
      merges.append(.init(left: left, right: right, result: result))
      for changed in apply(left, right, result) {
        if let count = counts[changed], count > 1 { heap.push(count, changed) }
      }
      progress?(tokens.count)
    }
    return try BytePairTokenizer(tokens: tokens, merges: merges)
  }

  /// Merges a pair wherever it stands.
  ///
  /// - Returns: pairs that are new.
  private mutating func apply(_ left: Int32, _ right: Int32, _ result: Int32) -> Set<UInt64> {
    var created: Set<UInt64> = []
    for index in places.removeValue(forKey: BytePairTrainer.key(left, right)) ?? [] {
      var word = words[Int(index)]
      var merged: [Int32] = []
      var i = 0
      while i < word.symbols.count {
        if i + 1 < word.symbols.count, word.symbols[i] == left, word.symbols[i + 1] == right {
          merged.append(result)
          i += 2
        } else {
          merged.append(word.symbols[i])
          i += 1
        }
      }
      guard merged.count < word.symbols.count else { continue }
      register(word, at: index, sign: -1)
      word.symbols = merged
      words[Int(index)] = word
      register(word, at: index, sign: 1)
      for i in 0..<merged.count - 1 where merged[i] == result || merged[i + 1] == result {
        created.insert(BytePairTrainer.key(merged[i], merged[i + 1]))
      }
    }
    counts[BytePairTrainer.key(left, right)] = nil
    return created
  }

  private mutating func register(_ word: Word, at index: Int32, sign: Int) {
    guard word.symbols.count > 1 else { return }
    for i in 0..<word.symbols.count - 1 {
      let key = BytePairTrainer.key(word.symbols[i], word.symbols[i + 1])
      counts[key, default: 0] += sign * word.count
      if sign > 0, places[key]?.last != index { places[key, default: []].append(index) }
    }
  }

  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }
}

/// A binary heap of (count, pair): the largest count first, of equal ones the lower pair.
private struct PairHeap {
  private var items: [(count: Int, pair: UInt64)]

  init(_ items: [(Int, UInt64)]) {
    // A sorted array is a heap.
    self.items = items.map { (count: $0.0, pair: $0.1) }.sorted { PairHeap.precedes($0, $1) }
  }

  private static func precedes(_ a: (count: Int, pair: UInt64), _ b: (count: Int, pair: UInt64)) -> Bool {
    a.count != b.count ? a.count > b.count : a.pair < b.pair
  }

  mutating func push(_ count: Int, _ pair: UInt64) {
    items.append((count, pair))
    var child = items.count - 1
    while child > 0, PairHeap.precedes(items[child], items[(child - 1) / 2]) {
      items.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func pop() -> (count: Int, pair: UInt64)? {
    guard let top = items.first else { return nil }
    let last = items.removeLast()
    guard !items.isEmpty else { return top }
    items[0] = last
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < items.count else { break }
      if child + 1 < items.count, PairHeap.precedes(items[child + 1], items[child]) { child += 1 }
      guard PairHeap.precedes(items[child], items[parent]) else { break }
      items.swapAt(child, parent)
      parent = child
    }
    return top
  }
}
