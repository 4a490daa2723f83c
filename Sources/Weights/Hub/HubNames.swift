import MMoEData
import MMoEFiles
import MMoEModels
import MMoEParallel
import MMoEReport
import MMoETensor
import MMoETrain

extension HubConfig {
  /// The same model in our terms.
  ///
  /// - Throws: `WeightsError` naming a field whose value we do not compute.
  package func model(file: String) throws -> ModelConfig {
    var config = ModelConfig()
    (config.layers, config.width, config.heads, config.hidden) = (layers, width, heads, hidden)
    config.kvHeads = keyValueHeads == heads ? 0 : keyValueHeads
    config.normEpsilon = normEpsilon
    config.moe.variant = "dense"
    guard headWidth * heads == width else {
      throw WeightsError(
        file, field: "head_dim", found: "\(headWidth)", expected: "\(width / max(heads, 1)), the width over the heads",
        remedy: "such models are not imported")
    }
    guard attentionBias == mlpBias else {
      throw WeightsError(
        file, field: "attention_bias", found: "\(attentionBias) and mlp_bias \(mlpBias)",
        expected: "the same for both", remedy: "such models are not imported")
    }
    config.bias = attentionBias
    let isGated = kind == .llama || kind == .mixtral
    switch activation {
    case "silu" where isGated: config.activation = .swiglu
    case "gelu" where !isGated: config.activation = .geluErf
    case "gelu_new" where !isGated, "gelu_pytorch_tanh" where !isGated: config.activation = .gelu
    case "quick_gelu" where !isGated: config.activation = .quickGelu
    default:
      throw WeightsError(
        file, field: "\(kind == .gpt2 ? "activation_function" : "hidden_act")", found: "'\(activation.prefix(40))'",
        expected: "\(isGated ? "silu" : "gelu, gelu_new, gelu_pytorch_tanh or quick_gelu")",
        remedy: "such models are not imported")
    }
    if isGated { config.norm = .rms }
    if let text {
      config.kind = .gpt
      (config.text.vocabulary, config.text.context, config.text.tiedHead) = (
        text.vocabulary, text.context, text.tiedHead
      )
      if let base = text.rotaryBase { (config.text.positions, config.text.rotaryBase) = (.rotary, base) }
    }
    if let vision {
      (config.vision.image, config.vision.patch, config.vision.channels) = (vision.image, vision.patch, vision.channels)
      (config.vision.classes, config.vision.classToken) = (max(vision.labels.count, 1), true)
    }
    if let textTower {
      (config.kind, config.vision.classes, config.vision.preNorm) = (.multimodal, 0, true)
      (config.fusion.kind, config.fusion.crossBlocks, config.fusion.textPooling) = (.late, 0, .last)
      (config.fusion.textLayers, config.fusion.textWidth) = (textTower.layers, textTower.width)
      (config.fusion.textHeads, config.fusion.textHidden) = (textTower.heads, textTower.hidden)
      config.fusion.embedding = textTower.projection
    }
    if let experts {
      (config.moe.variant, config.moe.experts, config.moe.every) = ("top\(experts.perToken)", experts.count, 1)
      // Mixtral divides the chosen probabilities by their sum, whatever their number.
      config.moe.renormalizeSingle = experts.perToken == 1
    }
    return config
  }
}

/// Our parameters in a family's tensors: each is one tensor, or several stacked by rows.
struct HubNames {
  struct Part {
    let name: String
    /// Of the tensor in the file.
    let shape: [Int]
    /// How many of the parameter's rows it has.
    let rows: Int
    /// GPT-2 stores `[in, out]`.
    let isTransposed: Bool
  }

  let family: HubConfig.Kind
  let config: ModelConfig
  let prefix: String

  /// The tensors of a parameter, in the order of its rows; none for one that the family does without, which is then 0.
  ///
  /// - Parameters:
  ///   - shape: of the parameter; its axes but the last count as rows.
  ///   - experts: those that the parameter holds, where it stacks experts.
  /// - Throws: `WeightsError` for a parameter that the family does not have.
  func parts(of path: String, shape: [Int], experts: Range<Int>) throws -> [Part] {
    guard let (names, isTransposed) = tensors(of: path, experts: experts) else {
      throw WeightsError(path, found: "\(family.rawValue) models have no such parameter")
    }
    let (rows, columns) = shape.count > 1 ? (shape.dropLast().reduce(1, *), shape.last) : (shape.first ?? 1, nil)
    return zip(names, share(rows, path, names.count)).map { name, rows in
      let own = fileShape(path, [rows] + (columns.map { [$0] } ?? []))
      return Part(name: name, shape: isTransposed ? own.reversed() : own, rows: rows, isTransposed: isTransposed)
    }
  }

  /// How many rows each of a parameter's tensors has: Q, K and V by their heads, gate and up alike.
  private func share(_ rows: Int, _ path: String, _ parts: Int) -> [Int] {
    guard parts == 3, path.contains(".attention.qkv."), family != .clip else {
      return Array(repeating: rows / max(parts, 1), count: parts)
    }
    let keys = config.keyValueHeads * config.headWidth
    return [rows - 2 * keys, keys, keys]
  }

  /// Axes of size 1 and spatial ones that the layout has beyond ours.
  private func fileShape(_ path: String, _ shape: [Int]) -> [Int] {
    if family == .clip, path == "logit_scale" { return [] }
    if path == "patch_embedding.weight" {
      return [shape[0], config.vision.channels, config.vision.patch, config.vision.patch]
    }
    guard family == .vit else { return shape }
    switch path {
    case "class_token": return [1, 1] + shape
    case "position_embedding": return [1] + shape
    default: return shape
    }
  }

  private func tensors(of path: String, experts: Range<Int>) -> (names: [String], isTransposed: Bool)? {
    if let name = ends[path] { return ([name], false) }
    // CLIP's patches have no bias.
    if family == .clip, path == "patch_embedding.bias" { return ([], false) }
    let words = path.split(separator: ".", maxSplits: 2).map(String.init)
    guard words.count == 3, words[0] == "blocks", let names = block(words[1], words[2], experts) else { return nil }
    return (names, family == .gpt2 && words[2].hasSuffix(".weight") && !words[2].hasPrefix("norm"))
  }

  /// Tensors that carry no weights: masks, and the copy of a tied head.
  func isIgnored(_ name: String) -> Bool {
    switch family {
    case .gpt2: name.hasSuffix(".attn.bias") || name.hasSuffix(".attn.masked_bias") || isTiedHead(name)
    case .llama, .mixtral: name.hasSuffix("rotary_emb.inv_freq") || isTiedHead(name)
    case .vit: name == prefix + "pooler.dense.weight" || name == prefix + "pooler.dense.bias"
    case .clip: name.hasSuffix("_model.embeddings.position_ids")
    }
  }

  /// The copy of the token embedding that some files have as the head, too.
  func isTiedHead(_ name: String) -> Bool { name == "lm_head.weight" && config.text.tiedHead }

  /// The name of the token embedding's tensor.
  var embedding: String? { ends["token_embedding"] }

  private var ends: [String: String] {
    switch family {
    case .gpt2:
      [
        "token_embedding": prefix + "wte.weight", "position_embedding": prefix + "wpe.weight",
        "norm.weight": prefix + "ln_f.weight", "norm.bias": prefix + "ln_f.bias", "head.weight": "lm_head.weight",
      ]
    case .llama, .mixtral:
      [
        "token_embedding": prefix + "embed_tokens.weight", "norm.weight": prefix + "norm.weight",
        "head.weight": "lm_head.weight",
      ]
    case .clip:
      [
        "patch_embedding.weight": "vision_model.embeddings.patch_embedding.weight",
        "class_token": "vision_model.embeddings.class_embedding",
        "patch_positions": "vision_model.embeddings.position_embedding.weight",
        "image_pre_norm.weight": "vision_model.pre_layrnorm.weight",
        "image_pre_norm.bias": "vision_model.pre_layrnorm.bias",
        "image_norm.weight": "vision_model.post_layernorm.weight",
        "image_norm.bias": "vision_model.post_layernorm.bias",
        "token_embedding": "text_model.embeddings.token_embedding.weight",
        "position_embedding": "text_model.embeddings.position_embedding.weight",
        "text_norm.weight": "text_model.final_layer_norm.weight", "text_norm.bias": "text_model.final_layer_norm.bias",
        "image_projection.weight": "visual_projection.weight", "text_projection.weight": "text_projection.weight",
        "logit_scale": "logit_scale",
      ]
    case .vit:
      [
        "patch_embedding.weight": prefix + "embeddings.patch_embeddings.projection.weight",
        "patch_embedding.bias": prefix + "embeddings.patch_embeddings.projection.bias",
        "class_token": prefix + "embeddings.cls_token", "position_embedding": prefix + "embeddings.position_embeddings",
        "norm.weight": prefix + "layernorm.weight", "norm.bias": prefix + "layernorm.bias",
        "head.weight": "classifier.weight", "head.bias": "classifier.bias",
      ]
    }
  }

  private func block(_ index: String, _ rest: String, _ experts: Range<Int>) -> [String]? {
    switch family {
    case .gpt2:
      let base = "\(prefix)h.\(index)."
      let names = [
        "norm1": "ln_1", "norm2": "ln_2", "attention.qkv": "attn.c_attn", "attention.proj": "attn.c_proj",
        "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
      ]
      guard let (layer, kind) = split(rest), let name = names[layer] else { return nil }
      return ["\(base)\(name).\(kind)"]
    case .llama, .mixtral:
      return llamaBlock("\(prefix)layers.\(index).", rest, experts)
    case .clip:
      // Blocks of the text tower are numbered after those of the image tower.
      let number = Int(index) ?? 0
      let base =
        number < config.layers
        ? "vision_model.encoder.layers.\(number)." : "text_model.encoder.layers.\(number - config.layers)."
      let names = [
        "norm1": ["layer_norm1"], "norm2": ["layer_norm2"],
        "attention.qkv": ["q_proj", "k_proj", "v_proj"].map { "self_attn." + $0 },
        "attention.proj": ["self_attn.out_proj"], "mlp.fc1": ["mlp.fc1"], "mlp.fc2": ["mlp.fc2"],
      ]
      guard let (layer, kind) = split(rest), let found = names[layer] else { return nil }
      return found.map { "\(base)\($0).\(kind)" }
    case .vit:
      let base = "\(prefix)encoder.layer.\(index)."
      let names = [
        "norm1": ["layernorm_before"], "norm2": ["layernorm_after"],
        "attention.qkv": ["query", "key", "value"].map { "attention.attention." + $0 },
        "attention.proj": ["attention.output.dense"], "mlp.fc1": ["intermediate.dense"], "mlp.fc2": ["output.dense"],
      ]
      guard let (layer, kind) = split(rest), let found = names[layer] else { return nil }
      return found.map { "\(base)\($0).\(kind)" }
    }
  }

  private func llamaBlock(_ base: String, _ rest: String, _ experts: Range<Int>) -> [String]? {
    let names: [String: [String]] = [
      "norm1": ["input_layernorm"], "norm2": ["post_attention_layernorm"],
      "attention.qkv": ["q_proj", "k_proj", "v_proj"].map { "self_attn." + $0 },
      "attention.proj": ["self_attn.o_proj"], "mlp.fc1": ["mlp.gate_proj", "mlp.up_proj"], "mlp.fc2": ["mlp.down_proj"],
      "moe.gate": ["block_sparse_moe.gate"],
      "moe.experts.fc1": experts.flatMap { e in ["w1", "w3"].map { "block_sparse_moe.experts.\(e).\($0)" } },
      "moe.experts.fc2": experts.map { "block_sparse_moe.experts.\($0).w2" },
    ]
    guard let (layer, kind) = split(rest), let found = names[layer] else { return nil }
    return found.map { "\(base)\($0).\(kind)" }
  }

  /// `attention.qkv.weight` → (`attention.qkv`, `weight`).
  private func split(_ path: String) -> (layer: String, kind: String)? {
    guard let dot = path.lastIndex(of: ".") else { return nil }
    return (String(path[..<dot]), String(path[path.index(after: dot)...]))
  }
}
