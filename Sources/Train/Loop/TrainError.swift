/// Why a run cannot start or go on, in one line: place, what was found, what was expected, remedy.
public struct TrainError: Error, CustomStringConvertible, Sendable {
  public let description: String
  public init(_ description: String) { self.description = description }
}
