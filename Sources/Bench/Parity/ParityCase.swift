import MMoEFiles
import MMoEHDF5
import MMoEModels
import MMoEReport
import MMoETensor
import MMoETrain

/// One float64 reference case: an HDF5 file laid out as `Tests/Reference/README.md` says.
package struct ParityCase {
  let file: String
  let kind: String
  let reader: HDF5Reader

  /// - Throws: `HDF5Error` when the file cannot be read; `BenchError` when it has no kind.
  init(_ file: String) throws {
    self.file = file
    reader = try HDF5Reader(foreign: file)
    guard let kind = try reader.stringAttribute("kind") else {
      throw BenchError(
        "\(file): has no root attribute kind; expected a case made by Tests/Reference/make_cases.py")
    }
    self.kind = kind
  }

  func has(_ path: String) -> Bool { reader.exists(path) }

  /// The router of the gate; a softmax where the case does not say.
  var router: String { ((try? reader.stringAttribute("router")) ?? nil) ?? "softmax" }

  /// What the case asks for that no model here has, in words; nil = nothing. Such a case is refused, not compared in part.
  var unknownFeature: String? {
    if !RouterTable.names.contains(router) { return "router \(router)" }
    if kind != "moe", router != "softmax" { return "router \(router) of the kind \(kind)" }
    if kind != "moe", kind != "routing", has("meta/sequence_length") {
      return "a balance loss per sequence of the kind \(kind)"
    }
    return nil
  }

  /// The sequences that rows are in, where the case has a balance loss of each.
  func sequences(of rows: Int) throws -> [Range<Int>]? {
    guard has("meta/sequence_length") else { return nil }
    let length = try integer("sequence_length")
    guard length > 0, rows % length == 0 else {
      throw BenchError("\(file): meta/sequence_length is \(length), expected a divisor of the \(rows) rows")
    }
    return stride(from: 0, to: rows, by: length).map { $0..<$0 + length }
  }

  /// A root attribute such as `variant`.
  func text(_ attribute: String) throws -> String {
    guard let value = try reader.stringAttribute(attribute) else {
      throw BenchError(file, found: "has no root attribute \(attribute)")
    }
    return value
  }

  /// A number of the group `meta`; the default where the case does not have it.
  func number(_ name: String, default standard: Double? = nil) throws -> Double {
    if let standard, !has("meta/\(name)") { return standard }
    guard let value = try reader.readDoubles("meta/\(name)").first else {
      throw BenchError(file, found: "meta/\(name) is empty", expected: "one number")
    }
    return value
  }

  func integer(_ name: String, default standard: Int? = nil) throws -> Int {
    let value = try number(name, default: standard.map(Double.init))
    guard let whole = Int(exactly: value) else {
      throw BenchError(file, found: "meta/\(name) is \(value)", expected: "an integer")
    }
    return whole
  }

  func flag(_ name: String) throws -> Bool { try integer(name, default: 0) != 0 }

  /// An array as float32, shaped as in the file.
  func tensor(_ path: String) throws -> Tensor {
    Tensor(try reader.readFloats(path), shape: try reader.shape(path))
  }

  /// Class numbers or token ids.
  func integers(_ path: String) throws -> [Int32] {
    try reader.readInt64s(path).map { Int32(clamping: $0) }
  }

  func doubles(_ path: String) throws -> [Double] { try reader.readDoubles(path) }

  /// Names in a group such as `weights`.
  func names(_ group: String) throws -> [String] { try reader.list(group).map(\.name) }

  /// Copies an array into a parameter of the same number of elements.
  func fill(_ parameter: Parameter, from path: String) throws {
    let shape = try reader.shape(path)
    guard shape.reduce(1, *) == parameter.count else {
      throw BenchError(file, found: "\(path) has shape \(shape)", expected: "\(parameter.shape)")
    }
    try reader.readFloats(path, into: parameter.value.pointer, count: parameter.count)
  }
}

/// The differences found in one case.
package struct ParityReport {
  struct Line {
    let name: String
    let absolute: Double
    let relative: Double
  }

  private(set) var lines: [Line] = []

  /// Compares an array with its reference: the largest difference, and that over the reference's largest magnitude
  /// (at least 10⁻³, so that what is zero in exact arithmetic may round).
  mutating func compare(_ name: String, _ found: [Double], _ expected: [Double]) {
    guard found.count == expected.count else {
      lines.append(Line(name: name, absolute: .infinity, relative: .infinity))
      return
    }
    let scale = max(expected.reduce(0) { max($0, abs($1)) }, 1e-3)
    var worst = 0.0
    for (a, b) in zip(found, expected) {
      let difference = abs(a - b)
      // A NaN must not lose against the maximum.
      worst = difference.isNaN ? .infinity : max(worst, difference)
    }
    lines.append(Line(name: name, absolute: worst, relative: worst / scale))
  }

  mutating func compare(_ name: String, _ found: [Float], _ expected: [Double]) {
    compare(name, found.map(Double.init), expected)
  }

  var worst: Line {
    lines.max { $0.relative < $1.relative } ?? Line(name: "nothing", absolute: 0, relative: 0)
  }
  var largestAbsolute: Double { lines.reduce(0) { max($0, $1.absolute) } }
}
