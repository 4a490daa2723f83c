/// What is wrong, in the parts of which its one line is made:
///
///     FILE: FIELD is FOUND, expected EXPECTED; REMEDY
///
/// Without a field what was found stands alone. Where what is expected says more than what was found, it comes first:
/// `FILE: FIELD: expected EXPECTED, found FOUND; REMEDY`.
public struct Fault: Sendable, Equatable, CustomStringConvertible {
  /// The file, perhaps with a line in it, or the option or the command that named what is wrong.
  public let file: String?
  /// The key, attribute or part of the file.
  public let field: String?
  /// What is there instead of what is expected; the whole line where it has no parts.
  public let found: String
  public let expected: String?
  public let remedy: String?
  private let expectedComesFirst: Bool

  /// A line that does not have the form.
  public init(_ line: String) {
    (file, field, found, expected, remedy) = (nil, nil, line, nil, nil)
    expectedComesFirst = false
  }

  public init(
    _ file: String? = nil, field: String? = nil, found: String, expected: String? = nil, remedy: String? = nil
  ) {
    (self.file, self.field, self.found, self.expected, self.remedy) = (file, field, found, expected, remedy)
    expectedComesFirst = false
  }

  /// What is expected comes first, as in the order of the arguments.
  public init(_ file: String? = nil, field: String? = nil, expected: String, found: String, remedy: String? = nil) {
    (self.file, self.field, self.found, self.expected, self.remedy) = (file, field, found, expected, remedy)
    expectedComesFirst = true
  }

  /// The line without its file. What files say may be quoted in it, so control characters are written out.
  public var message: String {
    let expected = expected ?? ""
    let middle =
      expectedComesFirst
      ? (field.map { "\($0): " } ?? "") + "expected \(expected), found \(found)"
      : (field.map { "\($0) is " } ?? "") + found + (expected.isEmpty ? "" : ", expected \(expected)")
    return oneLine(middle + (remedy.map { "; \($0)" } ?? ""))
  }

  public var description: String { (file.map { oneLine($0) + ": " } ?? "") + message }
}

/// The error of a module: a fault, which users read as one line.
public protocol FaultError: Error, CustomStringConvertible, Sendable {
  var fault: Fault { get }
  init(_ fault: Fault)
}

extension FaultError {
  public var description: String { fault.description }

  /// A line that does not have a fault's form.
  public init(_ line: String) { self.init(Fault(line)) }

  public init(
    _ file: String? = nil, field: String? = nil, found: String, expected: String? = nil, remedy: String? = nil
  ) {
    self.init(Fault(file, field: field, found: found, expected: expected, remedy: remedy))
  }

  /// What is expected comes first in the line, as in the order of the arguments.
  public init(_ file: String? = nil, field: String? = nil, expected: String, found: String, remedy: String? = nil) {
    self.init(Fault(file, field: field, expected: expected, found: found, remedy: remedy))
  }
}
