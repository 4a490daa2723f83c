/// What is wrong with a configuration, in one line: place, key, value expected, value found, remedy.
public struct ConfigError: Error, CustomStringConvertible, Sendable {
  public let description: String

  /// - Parameter description: what it quotes of keys and values may hold line ends, which become blanks.
  public init(_ description: String) {
    self.description = description.split(whereSeparator: \.isNewline).joined(separator: " ")
  }
}
