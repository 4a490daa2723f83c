/// Why metrics cannot be written or read, in one line: file, what was found, remedy.
public struct RecorderError: Error, CustomStringConvertible, Sendable {
  public let description: String

  public init(_ description: String) { self.description = description }
}
