import Foundation
import MMoETensor

/// Patches of images → linear embedding → class token → learned positions (Dosovitskiy et al., arXiv 2010.11929).
struct PatchEmbedding {
  private let patch: Int
  private let linear: Linear
  private let classToken: Parameter?
  private let positions: Parameter
  var parameters: [Parameter] { [linear.weight, linear.bias, classToken, positions].compactMap { $0 } }

  /// - Parameter path: of the positions.
  init(_ store: ParameterStore, _ config: ModelConfig, positions path: String) {
    let vision = config.vision
    patch = vision.patch
    linear = Linear(
      store, "patch_embedding", .embeddings, in: vision.channels * vision.patch * vision.patch, out: config.width)
    classToken = vision.classToken ? store.table("class_token", .embeddings, [config.width], decays: false) : nil
    positions = store.table(
      path, .embeddings, [vision.tokens, config.width], PatchEmbedding.initialPositions(config), decays: true)
  }

  /// - Parameter images: `[B, channels, image, image]`, normalized.
  /// - Returns: `[B · T, d]`, the class token first.
  func callAsFunction(_ images: Tensor, _ tape: Tape) -> Tensor {
    tape.addPositions(
      linear(tape.patches(images, patch: patch), tape, name: "embedding"), positions: positions,
      classToken: classToken)
  }

  /// Where the learned positions start: sines and cosines of row and column at geometric frequencies (Beyer et al.,
  /// arXiv 2205.01580), zero for the class token. Random ones of deviation 0.02 carry so little beside the patches
  /// that outlines, which are nothing but positions, stay unlearned for many epochs.
  static func initialPositions(_ config: ModelConfig) -> [Float] {
    let side = config.vision.image / config.vision.patch
    let quarter = config.width / 4
    var values: [Float] = config.vision.classToken ? Array(repeating: 0, count: config.width) : []
    for row in 0..<side {
      for column in 0..<side {
        var features: [Float] = []
        for coordinate in [Double(column), Double(row)] {
          for i in 0..<quarter {
            let angle = coordinate * pow(10_000, -Double(i) / Double(max(quarter - 1, 1)))
            features.append(Float(sin(angle)))
            features.append(Float(cos(angle)))
          }
        }
        // A width that four does not divide leaves the last columns zero.
        values += features + Array(repeating: 0, count: config.width - features.count)
      }
    }
    return values
  }
}
