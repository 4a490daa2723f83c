import MMoEFiles
import Synchronization

/// Byte-level BPE (Sennrich et al., arXiv 1508.07909; GPT-2): pieces of bytes merged pair by pair, the earliest learned
/// merge first.
public final class BytePairTokenizer: Tokenizer {
  /// Bytes of every id; ids without bytes of their own (gaps) are empty.
  package let tokens: [[UInt8]]
  /// Pairs of ids in the order in which they were learned.
  package let merges: [Merge]
  /// Ids by name that text never gives, such as `<|endoftext|>`.
  package let specialTokens: [String: Int32]
  public let fingerprint: String

  /// Two neighbors that become one token.
  package struct Merge: Sendable, Equatable {
    package let left: Int32
    package let right: Int32
    package let result: Int32

    package init(left: Int32, right: Int32, result: Int32) {
      self.left = left
      self.right = right
      self.result = result
    }
  }

  /// -1 for a byte that the vocabulary lacks.
  private let byteIDs: [Int32]
  private let lacksBytes: Bool
  private let ranks: PairTable
  private let specialNames: [Int32: String]
  /// Pieces met before, shared by all callers; a caller takes one of the caches and gives it back.
  private let caches = Mutex<[PieceCache]>([])

  /// - Parameters:
  ///   - tokens: bytes by id; a byte that is not among them is an error in a text that has it.
  ///   - merges: in the order of their learning, every pair once.
  ///   - name: for messages.
  /// - Throws: `DataError` where no byte has a token, or a special token no name.
  package init(
    tokens: [[UInt8]], merges: [Merge], specialTokens: [String: Int32] = [:], name: String = "tokenizer"
  ) throws {
    var byteIDs = [Int32](repeating: -1, count: 256)
    for (id, bytes) in tokens.enumerated() where bytes.count == 1 { byteIDs[Int(bytes[0])] = Int32(id) }
    guard byteIDs.contains(where: { $0 >= 0 }) else {
      throw DataError("\(name): no token is a single byte; expected a byte-level vocabulary, as GPT-2's")
    }
    // An empty name would be found at every place of a text.
    if let id = specialTokens[""] {
      throw DataError("\(name): the special token \(id) is empty; expected a name of at least one character")
    }
    lacksBytes = byteIDs.contains(-1)
    self.tokens = tokens
    self.merges = merges
    self.specialTokens = specialTokens
    self.byteIDs = byteIDs
    specialNames = Dictionary(specialTokens.map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    ranks = PairTable(merges)
    fingerprint = BytePairTokenizer.fingerprint(tokens, merges, specialTokens)
  }

  public var vocabularySize: Int { tokens.count }

  public var endOfText: Int32? { specialTokens["<|endoftext|>"] }

  public func isSpecial(_ id: Int32) -> Bool { specialNames[id] != nil }

  public func encode(_ bytes: [UInt8]) throws -> [Int32] {
    if lacksBytes, let place = bytes.firstIndex(where: { byteIDs[Int($0)] < 0 }) { throw missing(place, of: bytes) }
    var cache = caches.withLock { $0.popLast() } ?? PieceCache()
    var ids: [Int32] = []
    ids.reserveCapacity(bytes.count / 3)
    bytes.withUnsafeBufferPointer { text in
      var splitter = PreSplitter(text)
      while let range = splitter.next() {
        let piece = UnsafeBufferPointer(rebasing: text[range])
        if piece.count == 1 {
          ids.append(byteIDs[Int(piece[0])])
        } else if !cache.append(piece, to: &ids) {
          let start = ids.count
          merge(piece, into: &ids)
          cache.insert(piece, ids[start...])
        }
      }
    }
    caches.withLock { [cache] in $0.append(cache) }
    return ids
  }

  private func missing(_ place: Int, of bytes: [UInt8]) -> DataError {
    let before = String(decoding: bytes[max(0, place - 24)..<place], as: UTF8.self)
    return DataError(
      "byte \(place) of the text, after '\(before)', is 0x\(String(bytes[place], radix: 16, uppercase: true)), for which the tokenizer \(fingerprint) has no token; remove it from the text, or use another tokenizer"
    )
  }

  /// Ids of text in which the special tokens' names stand for themselves; only for who asks for it.
  ///
  /// - Throws: as `encode`.
  package func encodeWithSpecialTokens(_ text: String) throws -> [Int32] {
    var ids: [Int32] = []
    var rest = [UInt8](text.utf8)[...]
    let names = specialTokens.map { (bytes: [UInt8]($0.key.utf8), id: $0.value) }
      .sorted { $0.bytes.count > $1.bytes.count }
    var start = rest.startIndex
    var index = start
    while index < rest.endIndex {
      if let found = names.first(where: { rest[index...].starts(with: $0.bytes) }) {
        ids += try encode(Array(rest[start..<index])) + [found.id]
        index += found.bytes.count
        start = index
      } else {
        index += 1
      }
    }
    rest = rest[start...]
    return try ids + encode(Array(rest))
  }

  public func bytes(of id: Int32) throws -> [UInt8] {
    if let name = specialNames[id] { return [UInt8](name.utf8) }
    guard tokens.indices.contains(Int(id)) else {
      throw DataError("token id \(id): expected 0 to \(tokens.count - 1), the tokenizer's vocabulary")
    }
    return tokens[Int(id)]
  }

  public func save(to folder: String) throws { try TokenizerFiles.save(self, to: folder) }

  /// The same for every way in which one vocabulary is stored: some files give special tokens as ordinary ones.
  private static func fingerprint(
    _ tokens: [[UInt8]], _ merges: [Merge], _ specialTokens: [String: Int32]
  ) -> String {
    let special = Set(specialTokens.values)
    var content: [UInt8] = []
    func add(_ number: Int32) { withUnsafeBytes(of: number.littleEndian) { content.append(contentsOf: $0) } }
    for (id, bytes) in tokens.enumerated() {
      let text = special.contains(Int32(id)) ? [] : bytes
      add(Int32(text.count))
      content += text
    }
    for merge in merges { for id in [merge.left, merge.right, merge.result] { add(id) } }
    for (name, id) in specialTokens.sorted(by: { ($0.value, $0.key) < ($1.value, $1.key) }) {
      add(id)
      content += name.utf8
    }
    return "bpe-\(tokens.count)-\(ContentHash(content).shortName)"
  }

  // MARK: Merging

  private func merge(_ piece: UnsafeBufferPointer<UInt8>, into ids: inout [Int32]) {
    if piece.count > 64 { return mergeLong(piece, into: &ids) }
    // The cheapest way for the usual few bytes: look for the best pair again after each merge.
    var parts = piece.map { byteIDs[Int($0)] }
    var best = (0..<max(parts.count - 1, 0)).map { ranks.rank(parts[$0], parts[$0 + 1]) }
    while let place = best.indices.min(by: { best[$0] < best[$1] }), best[place] != PairTable.none {
      parts[place] = merges[Int(best[place])].result
      parts.remove(at: place + 1)
      best.remove(at: place)
      if place > 0 { best[place - 1] = ranks.rank(parts[place - 1], parts[place]) }
      if place < best.count { best[place] = ranks.rank(parts[place], parts[place + 1]) }
    }
    ids += parts
  }

  /// A linked list and a heap: a piece of a million equal letters must not take quadratic time.
  private func mergeLong(_ piece: UnsafeBufferPointer<UInt8>, into ids: inout [Int32]) {
    let count = piece.count
    var parts = piece.map { byteIDs[Int($0)] }
    var previous = (0..<count).map { Int32($0 - 1) }
    var following = (0..<count).map { Int32($0 + 1) }
    var heap = RankHeap()
    func offer(_ place: Int, _ heap: inout RankHeap) {
      let next = Int(following[place])
      guard next < count else { return }
      let rank = ranks.rank(parts[place], parts[next])
      if rank != PairTable.none { heap.push(rank: rank, place: Int32(place)) }
    }
    for place in 0..<count - 1 { offer(place, &heap) }
    while let (rank, at) = heap.pop() {
      let place = Int(at)
      // Stale when either side has been merged since: the pair is then another one, or gone.
      guard parts[place] >= 0, Int(following[place]) < count else { continue }
      let next = Int(following[place])
      guard ranks.rank(parts[place], parts[next]) == rank else { continue }
      parts[place] = merges[Int(rank)].result
      parts[next] = -1
      following[place] = following[next]
      if Int(following[next]) < count { previous[Int(following[next])] = Int32(place) }
      offer(place, &heap)
      if previous[place] >= 0 { offer(Int(previous[place]), &heap) }
    }
    var place = 0
    while place < count {
      ids.append(parts[place])
      place = Int(following[place])
    }
  }
}
