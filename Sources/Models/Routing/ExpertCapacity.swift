import Foundation

/// How many rows an expert may take.
package enum ExpertCapacity {
  /// C = ceil(cf · T · k / E), exactly: the factor counts as the decimal number that it was written as. In floating point
  /// 1.1 · 400 / 4 is a little more than 110, and would become 111.
  ///
  /// - Parameters:
  ///   - factor: cf; 0 = no limit.
  ///   - pairs: T · k, the choices of all tokens.
  ///   - choices: E, what they are shared out over: experts and identity experts.
  /// - Returns: nil without a limit.
  package static func rows(factor: Double, pairs: Int, choices: Int) -> Int? {
    guard factor > 0 else { return nil }
    let estimate = factor * Double(pairs) / Double(choices)
    // Beyond all that a machine holds nothing is dropped; far below one row nothing is left to round.
    guard estimate < 1e15 else { return nil }
    guard estimate > 1e-9, let decimal = Decimal(string: "\(factor)") else { return min(pairs, 1) }
    let needed = decimal * Decimal(pairs)
    var rows = max(1, Int(estimate.rounded(.up)))
    while rows > 1, Decimal(rows - 1) * Decimal(choices) >= needed { rows -= 1 }
    while Decimal(rows) * Decimal(choices) < needed { rows += 1 }
    return rows
  }
}
