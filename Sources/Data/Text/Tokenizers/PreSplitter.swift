/// Cuts text into the pieces within which byte pairs may merge, as GPT-2 does:
/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
///
/// A scanner over UTF-8 bytes and scalars, never over grapheme clusters. A byte that is no valid UTF-8 stands for itself
/// and counts as a symbol. Categories are those of the Unicode version that Swift's standard library carries.
struct PreSplitter {
  enum Kind: UInt8 { case letter, number, space, other }

  private let text: UnsafeBufferPointer<UInt8>
  private var position = 0

  init(_ text: UnsafeBufferPointer<UInt8>) { self.text = text }

  /// The next piece, or nil at the end.
  mutating func next() -> Range<Int>? {
    let start = position
    guard start < text.count else { return nil }
    let byte = text[start]
    if byte == UInt8(ascii: "'"), let length = contraction(at: start) {
      position = start + length
      return start..<position
    }
    if byte == UInt8(ascii: " "), start + 1 < text.count {
      let following = kind(at: start + 1)
      if following.kind != .space {
        position = run(of: following.kind, from: start + 1)
        return start..<position
      }
    }
    let first = kind(at: start)
    guard first.kind == .space else {
      position = run(of: first.kind, from: start)
      return start..<position
    }
    // Whitespace: all of it at the end of the text; else the last one is left to what follows, unless it is alone.
    var end = start
    var last = start
    while end < text.count {
      let current = kind(at: end)
      guard current.kind == .space else { break }
      last = end
      end += current.length
    }
    position = end == text.count || last == start ? end : last
    return start..<position
  }

  /// A place where text may be cut without changing its pieces: before white space that follows something else. The
  /// last one up to `wanted`, else the first one after it; nil where there is none.
  ///
  /// - Parameter searched: so many bytes are known to have no such place.
  static func boundary(in text: UnsafeBufferPointer<UInt8>, near wanted: Int, searched: Int = 0) -> Int? {
    let splitter = PreSplitter(text)
    func isBoundary(_ place: Int) -> Bool {
      text[place] < 0x80 && ascii[Int(text[place])] == .space && splitter.kind(before: place) != .space
    }
    let start = max(searched, 1)
    let middle = max(start, min(wanted + 1, text.count))
    return (start..<middle).last(where: isBoundary) ?? (middle..<max(middle, text.count)).first(where: isBoundary)
  }

  /// Kind of the scalar that ends at a position.
  private func kind(before index: Int) -> Kind {
    for length in 2...4 where index >= length && text[index - 1] >= 0x80 {
      let found = kind(at: index - length)
      if found.length == length { return found.kind }
    }
    return text[index - 1] < 0x80 ? PreSplitter.ascii[Int(text[index - 1])] : .other
  }

  private func run(of kind: Kind, from start: Int) -> Int {
    var end = start
    while end < text.count {
      let current = self.kind(at: end)
      guard current.kind == kind else { break }
      end += current.length
    }
    return end
  }

  private func contraction(at start: Int) -> Int? {
    guard start + 1 < text.count else { return nil }
    switch text[start + 1] {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return 2
    case UInt8(ascii: "r"), UInt8(ascii: "v"):
      return start + 2 < text.count && text[start + 2] == UInt8(ascii: "e") ? 3 : nil
    case UInt8(ascii: "l"):
      return start + 2 < text.count && text[start + 2] == UInt8(ascii: "l") ? 3 : nil
    default: return nil
    }
  }

  /// Kind and length in bytes of the scalar at a position.
  @inline(__always)
  private func kind(at index: Int) -> (kind: Kind, length: Int) {
    let first = text[index]
    if first < 0x80 { return (PreSplitter.ascii[Int(first)], 1) }
    return scalarKind(at: index, first)
  }

  private func scalarKind(at index: Int, _ first: UInt8) -> (kind: Kind, length: Int) {
    guard let (scalar, length) = PreSplitter.scalar(at: index, first, of: text) else { return (.other, 1) }
    return (PreSplitter.kinds[Int(scalar.value)], length)
  }

  /// The scalar of several bytes that begins at a position with the byte `first`; nil where there is none.
  @inline(__always)
  private static func scalar(
    at index: Int, _ first: UInt8, of text: UnsafeBufferPointer<UInt8>
  ) -> (scalar: Unicode.Scalar, length: Int)? {
    func continuation(_ offset: Int) -> UInt32? {
      guard index + offset < text.count, text[index + offset] & 0xC0 == 0x80 else { return nil }
      return UInt32(text[index + offset] & 0x3F)
    }
    var value: UInt32 = 0
    var length = 0
    switch first {
    case 0xC2...0xDF: (value, length) = (UInt32(first & 0x1F), 2)
    case 0xE0...0xEF: (value, length) = (UInt32(first & 0x0F), 3)
    case 0xF0...0xF4: (value, length) = (UInt32(first & 0x07), 4)
    default: return nil
    }
    for offset in 1..<length {
      guard let bits = continuation(offset) else { return nil }
      value = value << 6 | bits
    }
    // Overlong forms and surrogates are no scalars.
    let smallest: UInt32 = length == 2 ? 0x80 : length == 3 ? 0x800 : 0x10000
    guard value >= smallest, let scalar = Unicode.Scalar(value) else { return nil }
    return (scalar, length)
  }

  /// How many scalars a text has, and how many bytes that are no valid UTF-8, each of which stands for itself.
  static func count(_ text: UnsafeBufferPointer<UInt8>) -> (scalars: Int, invalid: Int) {
    var (scalars, invalid, index) = (0, 0, 0)
    while index < text.count {
      let byte = text[index]
      if byte < 0x80 {
        (scalars, index) = (scalars + 1, index + 1)
      } else if let found = scalar(at: index, byte, of: text) {
        (scalars, index) = (scalars + 1, index + found.length)
      } else {
        (invalid, index) = (invalid + 1, index + 1)
      }
    }
    return (scalars, invalid)
  }

  private static let ascii: [Kind] = (0..<128).map { kind(of: Unicode.Scalar(UInt8($0))) }

  /// The kind of every scalar, made when text beyond ASCII is met for the first time.
  private static let kinds: [Kind] = (0..<0x110000).map { value in
    Unicode.Scalar(UInt32(value)).map(kind) ?? .other
  }

  private static func kind(of scalar: Unicode.Scalar) -> Kind {
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: .letter
    case .decimalNumber, .letterNumber, .otherNumber: .number
    default: scalar.properties.isWhitespace ? .space : .other
    }
  }
}
