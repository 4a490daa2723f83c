/// What is wrong with a configuration, in one line: place, key, value expected, value found, remedy.
public struct ConfigError: Error, CustomStringConvertible, Sendable {
  public let description: String

  public init(_ description: String) { self.description = description }
}
