/// GPT-2's spelling of bytes as visible characters: printable Latin-1 stands for itself, the rest follows from U+0100 on.
enum ByteAlphabet {
  static let scalars: [Unicode.Scalar] = {
    var next: UInt32 = 256
    return (0..<256).map { (byte: UInt32) -> Unicode.Scalar in
      let isVisible = (33...126).contains(byte) || (161...172).contains(byte) || (174...255).contains(byte)
      defer { if !isVisible { next += 1 } }
      return Unicode.Scalar(isVisible ? byte : next)!
    }
  }()

  private static let bytes: [Unicode.Scalar: UInt8] = Dictionary(
    uniqueKeysWithValues: scalars.enumerated().map { ($1, UInt8($0)) })

  /// The bytes that a name spells, or nil where a character is not of the alphabet.
  static func bytes(of name: String) -> [UInt8]? {
    var result: [UInt8] = []
    for scalar in name.unicodeScalars {
      guard let byte = bytes[scalar] else { return nil }
      result.append(byte)
    }
    return result
  }
}
