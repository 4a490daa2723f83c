import MMoEData

/// What a token looks like: the kinds by which experts of a language model are described.
enum TokenClass: String, CaseIterable {
  /// Blanks and line ends alone.
  case space
  /// A blank and letters: where words begin, in vocabularies that keep the blank with the word.
  case wordStart = "word start"
  case capital = "capitalized"
  case letters
  case digits
  case punctuation
  /// Special tokens, mixtures, and parts of characters.
  case other

  /// - Throws: `DataError` for an id beyond the vocabulary.
  init(of id: Int32, _ tokenizer: any Tokenizer) throws {
    self = tokenizer.isSpecial(id) ? .other : TokenClass(of: try tokenizer.bytes(of: id))
  }

  init(of bytes: [UInt8]) {
    guard let text = String(validating: bytes, as: UTF8.self), !text.isEmpty else {
      self = .other
      return
    }
    let trimmed = text.drop { $0.isWhitespace }
    if trimmed.isEmpty {
      self = .space
    } else if trimmed.allSatisfy(\.isLetter) {
      self = trimmed.count < text.count ? .wordStart : trimmed.first!.isUppercase ? .capital : .letters
    } else if trimmed.allSatisfy(\.isNumber) {
      self = .digits
    } else if trimmed.allSatisfy({ $0.isPunctuation || $0.isSymbol }) {
      self = .punctuation
    } else {
      self = .other
    }
  }

  /// The place among all kinds.
  var number: Int32 { Int32(TokenClass.allCases.firstIndex(of: self)!) }
}
