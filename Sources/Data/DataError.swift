/// What is wrong with data: one line naming the file, the value found, the value expected and the remedy.
public struct DataError: Error, CustomStringConvertible, Sendable, Equatable {
  public let description: String

  /// - Parameter description: what files say may be quoted in it: control characters are written out, so that it stays
  ///   one line.
  public init(_ description: String) {
    let isPlain = description.unicodeScalars.allSatisfy { !DataError.isControl($0) }
    self.description =
      isPlain
      ? description
      : description.unicodeScalars.reduce(into: "") { line, scalar in
        if DataError.isControl(scalar) {
          line += scalar.escaped(asASCII: true)
        } else {
          line.unicodeScalars.append(scalar)
        }
      }
  }

  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .lineSeparator, .paragraphSeparator: true
    default: false
    }
  }
}
