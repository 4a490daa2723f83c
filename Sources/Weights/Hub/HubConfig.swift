import Foundation
import MMoEData

/// A model's shape as `config.json` of Hugging Face's layout gives it; what a file leaves out has the default of its
/// model type.
package struct HubConfig: Sendable, Equatable {
  package enum Kind: String, CaseIterable, Sendable {
    case gpt2, llama, mixtral, vit, clip
  }

  /// What language models have.
  package struct Text: Sendable, Equatable {
    package let vocabulary: Int
    /// The longest sequence.
    package let context: Int
    /// Base of the rotary frequencies; nil where positions are learned.
    package let rotaryBase: Double?
    /// The head's weight is the token embedding.
    package let tiedHead: Bool
  }

  /// What image models have.
  package struct Vision: Sendable, Equatable {
    /// Side of the square input in pixels.
    package let image: Int
    package let patch: Int
    package let channels: Int
    /// In the order of the classes.
    package let labels: [String]
  }

  /// The text tower beside an image tower, whose sizes the other fields give.
  package struct TextTower: Sendable, Equatable {
    package let layers: Int
    package let width: Int
    package let heads: Int
    package let hidden: Int
    /// Width in which images and texts are compared.
    package let projection: Int
  }

  /// A mixture of experts in every block.
  package struct Experts: Sendable, Equatable {
    package let count: Int
    package let perToken: Int
  }

  package let kind: Kind
  package let layers: Int
  package let width: Int
  package let heads: Int
  /// Heads of K and V.
  package let keyValueHeads: Int
  package let headWidth: Int
  /// Hidden width of a block's MLP, or of an expert.
  package let hidden: Int
  /// As named in the file: `gelu` (exact), `gelu_new` (tanh), `silu`.
  package let activation: String
  package let normEpsilon: Double
  /// Whether Q, K and V have biases.
  package let attentionBias: Bool
  /// Whether the MLP has biases.
  package let mlpBias: Bool
  package let text: Text?
  package let vision: Vision?
  package let experts: Experts?
  package let textTower: TextTower?

  /// Reads `config.json`, or the one in a folder.
  ///
  /// - Throws: `DataError` naming the file, the field, what was found and what was expected.
  package init(_ path: String) throws {
    var isFolder: ObjCBool = false
    let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
    let file = exists && isFolder.boolValue ? path + "/config.json" : path
    try self.init(
      JSONFields(JSONTree(readFile(file, limit: 16 << 20), file: file), file: file, expected: "a model's config.json"))
  }

  private init(_ fields: JSONFields) throws {
    let name = try fields.text("model_type", "")
    guard let kind = Kind(rawValue: name) else {
      throw fields.refuse(
        "model_type", "'\(name.prefix(40))'", "one of \(Kind.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    self.kind = kind
    switch kind {
    case .clip:
      let (images, texts) = (
        try fields.objectOrEmpty("vision_config"), try fields.objectOrEmpty("text_config")
      )
      try images.require("model_type", .text("clip_vision_model"))
      try texts.require("model_type", .text("clip_text_model"))
      layers = try images.size("num_hidden_layers", 12)
      width = try images.size("hidden_size", 768)
      heads = try images.size("num_attention_heads", 12)
      keyValueHeads = heads
      hidden = try images.size("intermediate_size", 3072)
      activation = try images.text("hidden_act", "quick_gelu")
      normEpsilon = try images.number("layer_norm_eps", 1e-5)
      (attentionBias, mlpBias) = (true, true)
      guard try texts.text("hidden_act", "quick_gelu") == activation,
        try texts.number("layer_norm_eps", 1e-5) == normEpsilon
      else {
        throw fields.refuse(
          "text_config", "of another hidden_act or layer_norm_eps",
          "those of vision_config, '\(activation)' and \(normEpsilon)")
      }
      let (image, patch) = (try images.size("image_size", 224), try images.size("patch_size", 32))
      _ = try images.divided("image_size", image, "patch_size", patch)
      vision = Vision(image: image, patch: patch, channels: try images.size("num_channels", 3), labels: [])
      text = Text(
        vocabulary: try texts.size("vocab_size", 49_408), context: try texts.size("max_position_embeddings", 77),
        rotaryBase: nil, tiedHead: true)
      let projection = try fields.size("projection_dim", 512)
      let tower = try TextTower(texts, projection: projection)
      _ = try texts.divided("hidden_size", tower.width, "num_attention_heads", tower.heads)
      textTower = tower
      // Of the width of a tower that is used alone.
      for tower in [images, texts] { tower.ignore(["projection_dim"]) }
      try HubConfig.checkRepeated(fields)
      for tower in [images, texts] { try HubFieldRules.check(tower) }
      (experts, headWidth) = (nil, try images.divided("hidden_size", width, "num_attention_heads", heads))
    case .gpt2:
      textTower = nil
      layers = try fields.size("n_layer", 12)
      width = try fields.size("n_embd", 768)
      heads = try fields.size("n_head", 12)
      keyValueHeads = heads
      hidden = try fields.size("n_inner", 4 * width)
      activation = try fields.text("activation_function", "gelu_new")
      normEpsilon = try fields.number("layer_norm_epsilon", 1e-5)
      (attentionBias, mlpBias) = (true, true)
      text = Text(
        vocabulary: try fields.size("vocab_size", 50_257), context: try fields.size("n_positions", 1024),
        rotaryBase: nil, tiedHead: try fields.flag("tie_word_embeddings", true))
      (vision, experts, headWidth) = (nil, nil, try fields.divided("n_embd", width, "n_head", heads))
    case .llama, .mixtral:
      textTower = nil
      let isMixtral = kind == .mixtral
      layers = try fields.size("num_hidden_layers", 32)
      width = try fields.size("hidden_size", 4096)
      heads = try fields.size("num_attention_heads", 32)
      keyValueHeads = try fields.size("num_key_value_heads", isMixtral ? 8 : heads)
      hidden = try fields.size("intermediate_size", isMixtral ? 14_336 : 11_008)
      activation = try fields.text("hidden_act", "silu")
      normEpsilon = try fields.number("rms_norm_eps", isMixtral ? 1e-5 : 1e-6)
      attentionBias = try fields.flag("attention_bias", false)
      mlpBias = try fields.flag("mlp_bias", false)
      text = Text(
        vocabulary: try fields.size("vocab_size", 32_000),
        context: try fields.size("max_position_embeddings", isMixtral ? 131_072 : 2048),
        rotaryBase: try fields.rotaryBase(isMixtral ? 1e6 : 1e4),
        tiedHead: try fields.flag("tie_word_embeddings", false))
      experts =
        isMixtral
        ? Experts(
          count: try fields.size("num_local_experts", 8), perToken: try fields.size("num_experts_per_tok", 2)) : nil
      vision = nil
      headWidth = try fields.size("head_dim", fields.divided("hidden_size", width, "num_attention_heads", heads))
      _ = try fields.divided("num_attention_heads", heads, "num_key_value_heads", keyValueHeads)
      if let window = try fields.optionalSize("sliding_window"), window < text?.context ?? 0 {
        throw fields.refuse(
          "sliding_window", "\(window)",
          "null or at least max_position_embeddings, \(text?.context ?? 0): attention here sees everything before it")
      }
    case .vit:
      textTower = nil
      layers = try fields.size("num_hidden_layers", 12)
      width = try fields.size("hidden_size", 768)
      heads = try fields.size("num_attention_heads", 12)
      keyValueHeads = heads
      hidden = try fields.size("intermediate_size", 3072)
      activation = try fields.text("hidden_act", "gelu")
      normEpsilon = try fields.number("layer_norm_eps", 1e-12)
      (attentionBias, mlpBias) = (try fields.flag("qkv_bias", true), true)
      let (image, patch) = (try fields.size("image_size", 224), try fields.size("patch_size", 16))
      _ = try fields.divided("image_size", image, "patch_size", patch)
      vision = Vision(
        image: image, patch: patch, channels: try fields.size("num_channels", 3), labels: try fields.labels("id2label"))
      (text, experts, headWidth) = (
        nil, nil, try fields.divided("hidden_size", width, "num_attention_heads", heads)
      )
    }
    if let experts, experts.perToken > experts.count {
      throw fields.refuse("num_experts_per_tok", "\(experts.perToken)", "at most num_local_experts, \(experts.count)")
    }
    try HubFieldRules.check(fields)
  }

  /// Older files give the towers of CLIP twice; the second time, with defaults for what it leaves out, is what counts for
  /// Hugging Face's library, so both must be the same.
  private static func checkRepeated(_ fields: JSONFields) throws {
    for (field, defaults) in [("text_config", textDefaults), ("vision_config", visionDefaults)] {
      guard let repeated = try fields.object(field + "_dict") else { continue }
      let own = try fields.objectOrEmpty(field)
      for (name, fallback) in defaults {
        let (first, second) = (own.value(name) ?? fallback, repeated.value(name) ?? fallback)
        guard first.isSame(as: second) else {
          throw repeated.refuse(name, second.description, "\(first.description) as in \(field)")
        }
      }
      repeated.ignore(["projection_dim", "model_type"])
      try HubFieldRules.check(repeated)
    }
  }

  private static let textDefaults: [(String, JSONTree)] = [
    ("vocab_size", .whole(49_408)), ("hidden_size", .whole(512)), ("intermediate_size", .whole(2048)),
    ("num_hidden_layers", .whole(12)), ("num_attention_heads", .whole(8)), ("max_position_embeddings", .whole(77)),
    ("hidden_act", .text("quick_gelu")), ("layer_norm_eps", .real(1e-5)),
  ]

  private static let visionDefaults: [(String, JSONTree)] = [
    ("hidden_size", .whole(768)), ("intermediate_size", .whole(3072)), ("num_hidden_layers", .whole(12)),
    ("num_attention_heads", .whole(12)), ("num_channels", .whole(3)), ("image_size", .whole(224)),
    ("patch_size", .whole(32)), ("hidden_act", .text("quick_gelu")), ("layer_norm_eps", .real(1e-5)),
  ]
}

extension HubConfig.TextTower {
  fileprivate init(_ texts: JSONFields, projection: Int) throws {
    layers = try texts.size("num_hidden_layers", 12)
    width = try texts.size("hidden_size", 512)
    heads = try texts.size("num_attention_heads", 8)
    hidden = try texts.size("intermediate_size", 2048)
    self.projection = projection
  }
}
