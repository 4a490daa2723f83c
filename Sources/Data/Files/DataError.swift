import MMoEFiles

/// What is wrong with data: one line naming the file, the value found, the value expected and the remedy.
public struct DataError: Error, CustomStringConvertible, Sendable, Equatable {
  public let description: String

  /// - Parameter description: what files say may be quoted in it.
  public init(_ description: String) { self.description = oneLine(description) }
}
