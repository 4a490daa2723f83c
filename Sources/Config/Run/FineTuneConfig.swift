import MMoEFiles
import MMoEReport
import MMoETensor

/// Which parameters a run trains, and how fast.
///
/// A place is a pattern over parameter paths (`blocks.*.attention.*`) or the word of a `ParameterRole`.
public struct FineTuneConfig: Sendable, Equatable {
  /// Places that keep their values.
  public var freeze: [String] = []
  /// Where it names places, all others keep their values.
  public var trainOnly: [String] = []
  /// `place=factor` on the learning rate; the first that matches counts.
  public var lrScale: [String] = []
  /// Factor on the learning rate from each block to the one before it; the last norm and the head have 1, the embeddings
  /// the least (Clark et al., arXiv 2003.10555; Bao et al., arXiv 2106.08254).
  public var layerDecay = 1.0
  /// Deviation of the noise on weights that are copied to several experts, as a share of their own root mean square.
  public var noise = 0.0
  public init() {}

  /// The words that stand for places, for messages and help.
  public static let words = ParameterRole.allCases.map(\.rawValue).joined(separator: ", ")

  /// The factors of `lrScale`.
  ///
  /// - Throws: `ConfigError` naming what is no `place=factor`.
  package func factors() throws -> [(place: String, factor: Double)] {
    try lrScale.map { text in
      let equals = text.lastIndex(of: "=")
      let factor = equals.flatMap { Double(text[text.index(after: $0)...]) }
      guard let equals, let factor, factor.isFinite, factor >= 0 else {
        throw ConfigError(
          "finetune.lr_scale: '\(text)', expected place=factor such as head=10, the factor a number from 0 on")
      }
      return (String(text[..<equals]), factor)
    }
  }
}

extension RunConfig {
  static let fineTuneEntries: [ConfigEntry<RunConfig>] = [
    .int(
      "lora.rank", \.model.lora.rank, range: 0...4096,
      "low-rank adapters, trained in place of the weights; 0 = none"),
    .double("lora.alpha", \.model.lora.alpha, range: 0...1e6, "the change is alpha / rank B A"),
    .list(
      "lora.places", \.model.lora.places, "attention, mlp or experts", example: "attention, experts",
      "weights that have an adapter"),
    .strings(
      "finetune.freeze", \.finetune.freeze, example: "blocks.*.attention.*, experts",
      "places that keep their values: patterns, or \(FineTuneConfig.words); a tied head is one of the embeddings"),
    .strings(
      "finetune.train_only", \.finetune.trainOnly, example: "head",
      "where given, all other places keep their values (head = linear probe); adapters are always trained"),
    .strings(
      "finetune.lr_scale", \.finetune.lrScale, example: "head=10",
      "factors on the learning rate; the first match counts"),
    .double(
      "finetune.layer_decay", \.finetune.layerDecay, range: 0.01...1,
      "factor on the learning rate from each block to the one before it"),
    .double(
      "finetune.noise", \.finetune.noise, range: 0...10,
      "noise on weights copied to several experts, as a share of their own size"),
  ]
}
