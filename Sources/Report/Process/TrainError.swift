import MMoEFiles

/// Why a run cannot start or go on, in one line: place, what was found, what was expected, remedy.
public struct TrainError: Error, CustomStringConvertible, Sendable {
  public let description: String
  /// Whether training itself failed, since loss or gradients were no longer finite.
  public let isDivergence: Bool

  /// - Parameter description: what files say may be quoted in it.
  public init(_ description: String, isDivergence: Bool = false) {
    self.description = oneLine(description)
    self.isDivergence = isDivergence
  }
}
