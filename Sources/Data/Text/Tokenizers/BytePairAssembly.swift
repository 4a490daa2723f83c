import Foundation
import MMoEFiles

/// Makes a byte-level BPE of names, ids and merges, which must be of one vocabulary: every name is a byte, is made by a merge,
/// or is a special token.
struct BytePairAssembly {
  private let file: String
  private let ids: [ExactName: Int32]
  private let names: [(name: String, id: Int)]

  /// The largest id that is believed; a wrong one would fill memory.
  private static let largest = 1 << 24

  /// - Parameters:
  ///   - names: names of tokens in the byte alphabet, and their ids.
  ///   - file: for messages.
  init(_ names: [(name: String, id: Int)], of file: String) throws {
    (self.names, self.file) = (names, file)
    try BytePairAssembly.check(names, file)
    ids = Dictionary(uniqueKeysWithValues: names.map { (ExactName($0.name), Int32($0.id)) })
  }

  /// - Parameters:
  ///   - lines: the names of every merge and where it is, in the order of their learning.
  ///   - added: all special tokens, their names as plain text; nil where the files do not say, and all names are special
  ///     that text never gives.
  /// - Throws: `DataError` naming file and line or name.
  func tokenizer(
    _ lines: [(pair: [String], place: String)], added: [(name: String, id: Int)]?
  ) throws -> BytePairTokenizer {
    var ordinary: Set<Int32> = []
    for (name, id) in names where name.unicodeScalars.count == 1 && ByteAlphabet.bytes(of: name) != nil {
      ordinary.insert(Int32(id))
    }
    let merges = try lines.map { try merge($0.pair, $0.place, &ordinary) }
    var seen: [UInt64: Int] = [:]
    for (index, merge) in merges.enumerated() {
      let pair = UInt64(UInt32(merge.left)) << 32 | UInt64(UInt32(merge.right))
      if let first = seen.updateValue(index, forKey: pair) {
        throw DataError("\(lines[index].place): the pair of \(lines[first].place) again; expected every pair once")
      }
    }
    if let added { try check(added, ordinary) }
    let special =
      names.filter { !ordinary.contains(Int32($0.id)) } + (added ?? []).filter { ids[ExactName($0.name)] == nil }
    try BytePairAssembly.check(names + special.filter { ids[ExactName($0.name)] == nil }, file)
    var tokens = [[UInt8]](repeating: [], count: ((names.map(\.id) + special.map(\.id)).max() ?? -1) + 1)
    for (name, id) in names where ordinary.contains(Int32(id)) { tokens[id] = ByteAlphabet.bytes(of: name) ?? [] }
    return try BytePairTokenizer(tokens: tokens, merges: merges, specialTokens: checked(special), name: file)
  }

  private func merge(
    _ pair: [String], _ place: String, _ ordinary: inout Set<Int32>
  ) throws -> BytePairTokenizer.Merge {
    guard pair.count == 2 else {
      throw DataError(place, found: "\(pair.count) names found, two expected, divided by a space")
    }
    let (left, right) = (pair[0], pair[1])
    guard let a = ids[ExactName(left)], let b = ids[ExactName(right)], let result = ids[ExactName(left + right)] else {
      let unknown = [left, right, left + right].first { ids[ExactName($0)] == nil } ?? ""
      throw DataError(
        place, found: "the token '\(unknown)' is not in \(file)", remedy: "both files must be of one vocabulary")
    }
    for (name, id) in [(left, a), (right, b)] where !ordinary.contains(id) {
      throw DataError(
        "\(place): '\(name)' is neither a byte nor made by an earlier merge; expected a byte-level BPE, as GPT-2's, without marks for the ends of words"
      )
    }
    ordinary.insert(result)
    return BytePairTokenizer.Merge(left: a, right: b, result: result)
  }

  /// What a file says of its added tokens must be all that is not of ordinary text.
  private func check(_ added: [(name: String, id: Int)], _ ordinary: Set<Int32>) throws {
    if let token = added.first(where: { ids[ExactName($0.name)].map(ordinary.contains) ?? false }) {
      throw DataError(
        "\(file): added_tokens has '\(token.name.prefix(40))' (id \(token.id)), which is also made of ordinary text; expected names that text never gives"
      )
    }
    let known = Set(added.map { ExactName($0.name) })
    if let (name, id) = names.first(where: { !ordinary.contains(Int32($0.id)) && !known.contains(ExactName($0.name)) })
    {
      throw DataError(
        "\(file): model.vocab['\(name.prefix(40))'] is \(id), but no merge makes it and added_tokens lacks it; expected a byte-level BPE, whose tokens are bytes, merges and added ones"
      )
    }
  }

  /// Ids in range, and one name for each: two would give back other text than was encoded.
  private static func check(_ names: [(name: String, id: Int)], _ file: String) throws {
    let all = names.map(\.id)
    guard let first = all.min(), let last = all.max(), first >= 0, last < largest else {
      throw DataError("\(file): ids from \(all.min() ?? 0) to \(all.max() ?? -1); expected 0 to at most \(largest - 1)")
    }
    var seen: [Int: String] = [:]
    for (name, id) in names {
      guard let other = seen.updateValue(name, forKey: id) else { continue }
      let pair = [ExactName(name), ExactName(other)].sorted()
      throw DataError(
        "\(file): the id \(id) has two names, '\(pair[0].text)' and '\(pair[1].text)'; expected one for each id")
    }
  }

  /// Names by which special tokens can be told apart, and from bytes, in text and in the files that we write.
  private func checked(_ special: [(name: String, id: Int)]) throws -> [String: Int32] {
    var result: [String: Int32] = [:]
    for (name, id) in special {
      let composed = name.precomposedStringWithCanonicalMapping
      let isTwin = ids[ExactName(composed)].map { $0 != Int32(id) } ?? false
      guard !name.isEmpty, ByteAlphabet.bytes(of: name)?.count != 1, !isTwin,
        result.updateValue(Int32(id), forKey: name) == nil
      else {
        throw DataError(
          "\(file): the special token '\(name)' (id \(id)) is empty, or is written as another token or byte is; expected a name of its own"
        )
      }
    }
    return result
  }
}
