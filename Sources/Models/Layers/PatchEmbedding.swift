import Foundation
import MMoETensor

/// A sample that is cut into rectangular patches: an image, or the spectrogram of a recording.
struct PatchGrid {
  let channels: Int
  /// Of the sample, and of a patch, which divides it.
  let height, width, patchHeight, patchWidth: Int
  /// Whether a learned row stands before the patches.
  var hasClassToken = false

  var rows: Int { height / patchHeight }
  var columns: Int { width / patchWidth }
  /// Numbers of a patch.
  var patchSize: Int { channels * patchHeight * patchWidth }
  /// Rows of a sample, the class token's included.
  var tokens: Int { rows * columns + (hasClassToken ? 1 : 0) }
}

/// Patches → linear embedding → class token → learned positions (Dosovitskiy et al., arXiv 2010.11929).
struct PatchEmbedding: SampleEncoder {
  private let grid: PatchGrid
  private let linear: Linear
  private let classToken: Parameter?
  private let positions: Parameter
  var parameters: [Parameter] { [linear.weight, linear.bias, classToken, positions].compactMap { $0 } }

  /// - Parameters:
  ///   - path: of the linear embedding.
  ///   - positionsPath: of the positions.
  ///   - width: d.
  init(_ store: ParameterStore, _ path: String, positions positionsPath: String, _ grid: PatchGrid, width: Int) {
    self.grid = grid
    linear = Linear(store, path, .embeddings, in: grid.patchSize, out: width)
    classToken = grid.hasClassToken ? store.table("class_token", .embeddings, [width], decays: false) : nil
    positions = store.table(
      positionsPath, .embeddings, [grid.tokens, width], PatchEmbedding.initialPositions(grid, width: width),
      decays: true)
  }

  /// - Parameter samples: `[B, channels, height, width]`, normalized.
  /// - Returns: `[B · T, d]`, the class token first.
  func callAsFunction(_ samples: Tensor, _ tape: Tape) -> Tensor {
    tape.addPositions(
      linear(tape.patches(samples, patch: (grid.patchHeight, grid.patchWidth)), tape, name: "embedding"),
      positions: positions, classToken: classToken)
  }

  /// Where the learned positions start: sines and cosines of row and column at geometric frequencies (Beyer et al.,
  /// arXiv 2205.01580), zero for the class token. Random ones of deviation 0.02 carry so little beside the patches
  /// that outlines, which are nothing but positions, stay unlearned for many epochs.
  private static func initialPositions(_ grid: PatchGrid, width: Int) -> [Float] {
    let quarter = width / 4
    var values: [Float] = grid.hasClassToken ? Array(repeating: 0, count: width) : []
    for row in 0..<grid.rows {
      for column in 0..<grid.columns {
        var features: [Float] = []
        for coordinate in [Double(column), Double(row)] {
          for i in 0..<quarter {
            let angle = coordinate * pow(10_000, -Double(i) / Double(max(quarter - 1, 1)))
            features.append(Float(sin(angle)))
            features.append(Float(cos(angle)))
          }
        }
        // A width that four does not divide leaves the last columns zero.
        values += features + Array(repeating: 0, count: width - features.count)
      }
    }
    return values
  }
}
