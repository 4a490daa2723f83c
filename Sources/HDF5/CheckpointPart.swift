import Foundation

/// A file beside a checkpoint that holds some of its datasets, such as the experts of one rank. The checkpoint links to
/// them, and says how long the file is and what its bytes add up to: parts of another step are recognised.
public struct CheckpointPart: Sendable, Equatable {
  /// Without folders: `step-0000748.r01.h5`.
  public let name: String
  /// Length of the whole file.
  public let bytes: Int
  /// XXH3-64 of everything after its user block.
  public let checksum: UInt64

  public init(name: String, bytes: Int, checksum: UInt64) {
    self.name = name
    self.bytes = bytes
    self.checksum = checksum
  }

  /// The path of a checkpoint's part: `NAME.r07.h5` for `NAME.h5`.
  public static func path(of checkpoint: String, number: Int) -> String {
    let stem = checkpoint.hasSuffix(".h5") ? String(checkpoint.dropLast(3)) : checkpoint
    return "\(stem).r\(number < 10 ? "0" : "")\(number).h5"
  }

  /// Whether a text is the name of a part: a file of the same folder that ends in `.rNN.h5`.
  public static func isName(_ text: String) -> Bool {
    guard text.hasSuffix(".h5"), !text.contains("/"), !text.hasPrefix("."), !text.utf8.contains(0) else { return false }
    let stem = text.dropLast(3)
    guard let dot = stem.lastIndex(of: "."), dot > stem.startIndex else { return false }
    let number = stem[stem.index(after: dot)...]
    return number.first == "r" && (3...6).contains(number.count)
      && number.dropFirst().allSatisfy { $0.isASCII && $0.isNumber }
  }

  static let attribute = "parts"

  /// The part as a line of the attribute that names it.
  public var line: String { "\(name) \(bytes) \(String(checksum, radix: 16))" }

  /// - Returns: nil for a line that is none.
  public init?(line: some StringProtocol) {
    let words = line.split(separator: " ")
    guard words.count == 3, let bytes = Int(words[1]), let checksum = UInt64(words[2], radix: 16) else { return nil }
    self.init(name: String(words[0]), bytes: bytes, checksum: checksum)
  }
}
