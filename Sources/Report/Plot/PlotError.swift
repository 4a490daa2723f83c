/// Why a plot cannot be drawn, in one line: file, what was found, remedy.
public struct PlotError: Error, CustomStringConvertible, Sendable {
  public let description: String

  public init(_ description: String) { self.description = description }
}
