import MMoETensor

/// Where a model's arrays stand in a checkpoint.
///
///     /model/blocks/3/attention/qkv/weight              one dataset a parameter, its path with / for .
///     /model/blocks/3/moe/experts/0007/fc1/weight       one dataset an expert, under its global number
///     /optimizer/first/…, /optimizer/second/…           what the optimizer keeps, by its names, the same paths
///     /vocabulary/classes                               UTF-8, one name a line
///     /attachments/tokenizer/vocab.json                 files, byte by byte
///
/// In memory experts are stacked `[E, out, in]`; on disk each has its own contiguous, 4096-aligned dataset, so that any
/// number of ranks reads just its own.
package struct CheckpointLayout {
  /// One dataset: a slice of a parameter.
  package struct Piece {
    /// Below `model/` or a group of the optimizer's.
    package let path: String
    package let shape: [Int]
    /// First element within the parameter.
    package let offset: Int
    package let count: Int
    /// The global number of the expert that it belongs to.
    package let expert: Int?

    package var isExpert: Bool { expert != nil }
    /// The path with dots, as patterns and reports name it: `blocks.1.moe.experts.0007.fc1.weight`.
    package var name: String { path.replacing("/", with: ".") }
  }

  package static let model = "model"
  package static let optimizer = "optimizer"

  /// The datasets of a parameter in the order in which they are written: of the experts that live here, or of all.
  package static func pieces(of parameter: Parameter, allExperts: Bool = false) -> [Piece] {
    let path = parameter.path.replacing(".", with: "/")
    guard let share = parameter.experts, let marker = path.range(of: "/experts/") else {
      return [
        Piece(path: path, shape: parameter.shape, offset: 0, count: parameter.count, expert: nil)
      ]
    }
    let count = parameter.count / parameter.shape[0]
    let experts = allExperts ? share.stack : share.local
    // Of several stacks each has a name, which an expert's number makes needless.
    let rest = path[marker.upperBound...].split(separator: "/").suffix(2).joined(separator: "/")
    return experts.map { expert in
      Piece(
        path: path[..<marker.upperBound] + number(expert) + "/" + rest,
        shape: Array(parameter.shape.dropFirst()), offset: (expert - experts.lowerBound) * count, count: count,
        expert: expert)
    }
  }

  /// Four digits, more where there are more experts: `0007`.
  package static func number(_ expert: Int) -> String {
    let digits = String(expert)
    return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
  }
}
