import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETensor
import MMoETrain

/// A model of ours as a folder of Hugging Face's layout: the way back of `HubModel`.
struct HubExport {
  let model: ModelConfig
  let family: HubConfig.Kind
  private let names: HubNames

  /// - Throws: `WeightsError` naming the setting that none of the known families has.
  init(_ model: ModelConfig) throws {
    self.model = model
    family = try HubExport.family(of: model)
    let prefix =
      switch family {
      case .gpt2: "transformer."
      case .vit: "vit."
      case .llama, .mixtral: "model."
      case .clip: ""
      }
    names = HubNames(family: family, config: model, prefix: prefix)
  }

  /// The family that computes what a model does.
  private static func family(of model: ModelConfig) throws -> HubConfig.Kind {
    func refuse(_ key: String, _ found: String, _ expected: String) -> WeightsError {
      WeightsError(
        field: "\(key)", found: "\(found)", expected: "\(expected) for a folder of Hugging Face's layout",
        remedy: "give --out a name that ends in .safetensors")
    }
    guard model.lora.rank == 0 else {
      throw refuse("lora.rank", "\(model.lora.rank)", "0 (`mmoe checkpoint merge-lora`)")
    }
    let isLlama = model.norm == .rms
    let isMixture = model.moe.variant != "dense"
    if isMixture {
      let variant = try MoEVariant.resolve(model.moe)
      // Mixtral: all blocks, k of the current state's experts, their weights divided by their sum.
      let isMixtral =
        !variant.sharedExpert && variant.routes.count == 1 && variant.routes[0].source == .current
        && model.moe.every == 1 && isLlama
      guard isMixtral else {
        throw refuse(
          "moe.variant", "\(model.moe.variant) with moe.every=\(model.moe.every)", "dense, or Mixtral's form")
      }
      guard model.moe.router == "softmax" else { throw refuse("moe.router", model.moe.router, "softmax") }
      guard model.moe.renormalizes(variant.routes[0].k) else {
        throw refuse(variant.routes[0].k > 1 ? "moe.renormalize" : "moe.renormalize_single", "false", "true")
      }
      guard !model.moe.postNorm else { throw refuse("moe.post_norm", "true", "false") }
      guard !model.bias else { throw refuse("model.bias", "true", "false") }
      guard model.moe.evalCapacityFactor == 0 else {
        throw refuse("moe.eval_capacity_factor", "\(model.moe.evalCapacityFactor)", "0")
      }
    }
    switch model.kind {
    case .vit:
      guard model.norm == .layer else { throw refuse("model.norm", "rms", "layer") }
      guard model.vision.classToken else { throw refuse("model.class_token", "false", "true") }
      guard model.bias else { throw refuse("model.bias", "false", "true") }
      guard model.activation != .swiglu else { throw refuse("model.activation", "swiglu", "gelu_erf") }
      guard model.keyValueHeads == model.heads else { throw refuse("model.kv_heads", "\(model.kvHeads)", "0") }
      return .vit
    case .gpt where isLlama:
      guard model.activation == .swiglu else { throw refuse("model.activation", model.activation.rawValue, "swiglu") }
      guard model.text.positions == .rotary else { throw refuse("model.positions", "learned", "rotary") }
      return isMixture ? .mixtral : .llama
    case .gpt:
      guard model.activation != .swiglu else { throw refuse("model.activation", "swiglu", "gelu") }
      guard model.text.positions == .learned else { throw refuse("model.positions", "rotary", "learned") }
      guard model.bias else { throw refuse("model.bias", "false", "true") }
      guard model.keyValueHeads == model.heads else { throw refuse("model.kv_heads", "\(model.kvHeads)", "0") }
      return .gpt2
    case .multimodal:
      guard model.fusion.kind == .late else { throw refuse("fusion.kind", "early", "late (CLIP)") }
      guard model.fusion.crossBlocks == 0 else {
        throw refuse("fusion.cross_blocks", "\(model.fusion.crossBlocks)", "0")
      }
      guard model.fusion.textPooling == .last else { throw refuse("fusion.text_pooling", "mean", "last") }
      guard model.vision.classToken else { throw refuse("model.class_token", "false", "true") }
      guard model.vision.preNorm else { throw refuse("model.pre_norm", "false", "true") }
      guard model.vision.classes == 0 else { throw refuse("model.classes", "\(model.vision.classes)", "0") }
      guard model.norm == .layer else { throw refuse("model.norm", "rms", "layer") }
      guard model.bias else { throw refuse("model.bias", "false", "true") }
      guard model.text.tiedHead else { throw refuse("model.tied_head", "false", "true") }
      guard model.activation != .swiglu else { throw refuse("model.activation", "swiglu", "quick_gelu") }
      guard model.keyValueHeads == model.heads else { throw refuse("model.kv_heads", "\(model.kvHeads)", "0") }
      return .clip
    default:
      throw refuse("model.kind", model.kind.rawValue, "vit, gpt or multimodal")
    }
  }

  /// The content of `config.json`.
  func config(classes: [String]?, endOfText: Int32?) -> JSONValue {
    var fields: [String: JSONValue] = ["model_type": .string(family.rawValue), "dtype": "float32"]
    func set(_ values: [String: JSONValue]) { fields.merge(values) { $1 } }
    let activation: JSONValue =
      switch model.activation {
      case .gelu: "gelu_new"
      case .geluErf: "gelu"
      case .quickGelu: "quick_gelu"
      case .swiglu: "silu"
      }
    let text = model.text
    let end: JSONValue = endOfText.map { .int(Int($0)) } ?? .null
    switch family {
    case .gpt2:
      set([
        "architectures": .array(["GPT2LMHeadModel"]), "n_layer": .int(model.layers), "n_embd": .int(model.width),
        "n_head": .int(model.heads), "n_inner": .int(model.mlpHidden), "n_positions": .int(text.context),
        "vocab_size": .int(text.vocabulary), "activation_function": activation,
        "layer_norm_epsilon": .double(model.normEpsilon), "tie_word_embeddings": .bool(text.tiedHead),
        "resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0, "bos_token_id": end, "eos_token_id": end,
      ])
    case .llama, .mixtral:
      set([
        "architectures": .array([family == .llama ? "LlamaForCausalLM" : "MixtralForCausalLM"]),
        "num_hidden_layers": .int(model.layers), "hidden_size": .int(model.width),
        "num_attention_heads": .int(model.heads), "num_key_value_heads": .int(model.keyValueHeads),
        "head_dim": .int(model.headWidth), "hidden_act": activation, "rms_norm_eps": .double(model.normEpsilon),
        "max_position_embeddings": .int(text.context), "vocab_size": .int(text.vocabulary),
        "rope_theta": .double(text.rotaryBase), "tie_word_embeddings": .bool(text.tiedHead),
        "intermediate_size": .int(family == .llama ? model.mlpHidden : model.expertHidden), "bos_token_id": end,
        "eos_token_id": end,
      ])
      if family == .llama {
        set(["attention_bias": .bool(model.bias), "mlp_bias": .bool(model.bias)])
      } else {
        let k = (try? MoEVariant.resolve(model.moe).routes[0].k) ?? 2
        set(["num_local_experts": .int(model.moe.experts), "num_experts_per_tok": .int(k), "sliding_window": .null])
      }
    case .clip:
      let tower = model.textTower
      set([
        "architectures": .array(["CLIPModel"]), "projection_dim": .int(model.fusion.embedding),
        "vision_config": .object([
          "model_type": "clip_vision_model", "num_hidden_layers": .int(model.layers), "hidden_size": .int(model.width),
          "num_attention_heads": .int(model.heads), "intermediate_size": .int(model.mlpHidden),
          "hidden_act": activation, "layer_norm_eps": .double(model.normEpsilon),
          "image_size": .int(model.vision.image), "patch_size": .int(model.vision.patch),
          "num_channels": .int(model.vision.channels),
        ]),
        "text_config": .object([
          "model_type": "clip_text_model", "num_hidden_layers": .int(tower.layers), "hidden_size": .int(tower.width),
          "num_attention_heads": .int(tower.heads), "intermediate_size": .int(tower.mlpHidden),
          "hidden_act": activation, "layer_norm_eps": .double(model.normEpsilon),
          "max_position_embeddings": .int(text.context), "vocab_size": .int(text.vocabulary), "eos_token_id": end,
        ]),
      ])
    case .vit:
      let names = classes ?? (0..<model.vision.classes).map { "LABEL_\($0)" }
      set([
        "architectures": .array(["ViTForImageClassification"]), "num_hidden_layers": .int(model.layers),
        "hidden_size": .int(model.width), "num_attention_heads": .int(model.heads),
        "intermediate_size": .int(model.mlpHidden), "hidden_act": activation,
        "layer_norm_eps": .double(model.normEpsilon), "image_size": .int(model.vision.image),
        "patch_size": .int(model.vision.patch), "num_channels": .int(model.vision.channels), "qkv_bias": true,
        "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0,
        "id2label": .object(Dictionary(uniqueKeysWithValues: names.enumerated().map { ("\($0)", .string($1)) })),
        "label2id": .object(
          Dictionary(names.enumerated().map { ($1, .int($0)) }, uniquingKeysWith: { first, _ in first })),
      ])
    }
    return .object(fields)
  }

  /// Calls `body` with every tensor of the layout.
  ///
  /// - Parameter values: the numbers of one of our arrays, by its name in checkpoints.
  /// - Throws: what `values` and `body` throw.
  func forEachTensor(
    _ arrays: [(name: String, shape: [Int])], values: (String) throws -> [Float],
    _ body: (_ name: String, _ shape: [Int], [Float]) throws -> Void
  ) throws {
    for (name, shape) in arrays {
      var all = try values(name)
      let (path, experts) = HubExport.parameter(of: name)
      let parts = try names.parts(of: path, shape: shape, experts: experts)
      if parts.isEmpty { continue }
      if family == .clip, path == "patch_positions" {
        // The bias that CLIP's patches do not have is the same at every place.
        let bias = try values("patch_embedding.bias")
        for i in bias.count..<all.count { all[i] += bias[i % bias.count] }
      }
      let columns = all.count / max(parts.reduce(0) { $0 + $1.rows }, 1)
      var at = 0
      for part in parts {
        let slice = Array(all[at * columns..<(at + part.rows) * columns])
        at += part.rows
        try body(
          part.name, part.shape,
          part.isTransposed ? HubExport.transposed(slice, rows: part.rows, columns: columns) : slice)
      }
    }
  }

  /// `blocks.1.moe.experts.0007.fc1.weight` → `blocks.1.moe.experts.fc1.weight` and 7.
  private static func parameter(of name: String) -> (path: String, experts: Range<Int>) {
    guard let found = PathPattern("*.moe.experts.*.fc*").captures(in: name), let expert = Int(found[1]) else {
      return (name, 0..<0)
    }
    return ("\(found[0]).moe.experts.fc\(found[2])", expert..<expert + 1)
  }

  private static func transposed(_ values: [Float], rows: Int, columns: Int) -> [Float] {
    var result = [Float](repeating: 0, count: values.count)
    for r in 0..<rows { for c in 0..<columns { result[c * rows + r] = values[r * columns + c] } }
    return result
  }
}
