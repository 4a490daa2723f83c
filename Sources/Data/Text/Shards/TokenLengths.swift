/// Bytes and words of a text: what losses of different tokenizers are compared by.
package struct TextExtent: Sendable, Equatable {
  package var bytes: Int
  /// Runs of bytes between ASCII white space.
  package var words: Int

  package init(bytes: Int = 0, words: Int = 0) {
    self.bytes = bytes
    self.words = words
  }
}

/// What every token adds to a text, so that a range of tokens can be measured without writing it out.
struct TokenLengths: Sendable {
  private struct Entry {
    var bytes: Int32 = 0
    /// Words that begin inside the token, without one at its first byte.
    var words: Int32 = 0
    var startsWithSpace = false
    var endsWithSpace = false
  }

  private let entries: [Entry]

  init(_ tokenizer: any Tokenizer) {
    entries = (0..<tokenizer.vocabularySize).map { id in
      // Special tokens are no text.
      guard !tokenizer.isSpecial(Int32(id)), let bytes = try? tokenizer.bytes(of: Int32(id)), !bytes.isEmpty else {
        return Entry()
      }
      var entry = Entry(bytes: Int32(bytes.count))
      entry.startsWithSpace = TokenLengths.isSpace(bytes[0])
      entry.endsWithSpace = TokenLengths.isSpace(bytes[bytes.count - 1])
      for (before, byte) in zip(bytes, bytes.dropFirst()) where TokenLengths.isSpace(before) {
        if !TokenLengths.isSpace(byte) { entry.words += 1 }
      }
      return entry
    }
  }

  /// Bytes that ids stand for; ids beyond the vocabulary stand for none.
  func bytes(of ids: some Sequence<Int32>) -> Int {
    entries.withUnsafeBufferPointer { entries in
      ids.reduce(0) { entries.indices.contains(Int($1)) ? $0 + Int(entries[Int($1)].bytes) : $0 }
    }
  }

  /// Adds ids to an extent.
  ///
  /// - Parameter afterSpace: whether a word may begin at the next byte; true at a text's start.
  func add(_ ids: UnsafeBufferPointer<Int32>, to extent: inout TextExtent, afterSpace: inout Bool) {
    entries.withUnsafeBufferPointer { entries in
      for id in ids where entries.indices.contains(Int(id)) {
        let entry = entries[Int(id)]
        guard entry.bytes > 0 else {
          afterSpace = true  // A special token parts words.
          continue
        }
        extent.bytes += Int(entry.bytes)
        extent.words += Int(entry.words) + (afterSpace && !entry.startsWithSpace ? 1 : 0)
        afterSpace = entry.endsWithSpace
      }
    }
  }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || 0x09...0x0D ~= byte }
}
