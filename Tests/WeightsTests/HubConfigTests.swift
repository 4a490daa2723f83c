import Foundation
import TestSupport
import Testing

@testable import MMoEData
@testable import MMoEWeights

/// `config.json` of models from elsewhere.
@Suite struct HubConfigTests {
  private func config(_ json: String, _ folder: ScratchFolder) throws -> HubConfig {
    try json.write(toFile: folder("config.json"), atomically: false, encoding: .utf8)
    return try HubConfig(folder("config.json"))
  }

  @Test func defaultsAreThoseOfTheModelType() throws {
    let folder = ScratchFolder()
    let gpt2 = try config("{\"model_type\": \"gpt2\", \"n_inner\": null}", folder)
    #expect(gpt2.layers == 12 && gpt2.width == 768 && gpt2.headWidth == 64 && gpt2.hidden == 3072)
    #expect(
      gpt2.text == HubConfig.Text(vocabulary: 50_257, context: 1024, rotaryBase: nil, tiedHead: true))
    let llama = try config(
      "{\"model_type\": \"llama\", \"num_key_value_heads\": 8, \"rope_theta\": 500000, \"rope_scaling\": null}", folder)
    #expect(llama.keyValueHeads == 8 && llama.headWidth == 128 && !llama.attentionBias && llama.experts == nil)
    #expect(llama.text?.rotaryBase == 500_000 && llama.text?.tiedHead == false)
    let mixtral = try config(
      "{\"model_type\": \"mixtral\", \"head_dim\": 100, \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 7}}",
      folder)
    #expect(mixtral.experts == HubConfig.Experts(count: 8, perToken: 2) && mixtral.headWidth == 100)
    #expect(mixtral.text?.rotaryBase == 7)
    let vit = try config("{\"model_type\": \"vit\", \"id2label\": {\"1\": \"dog\", \"0\": \"cat\"}}", folder)
    #expect(
      vit.vision == HubConfig.Vision(image: 224, patch: 16, channels: 3, labels: ["cat", "dog"]))
    #expect(vit.normEpsilon == 1e-12 && vit.activation == "gelu")
  }

  @Test(arguments: [
    ("{\"model_type\": \"bert\"}", "model_type is 'bert', expected one of gpt2, llama, mixtral, vit"),
    ("{}", "model_type is ''"),
    ("[]", "no JSON object"),
    ("{\"model_type\": 3}", "model_type is 3, expected a text"),
    ("{\"model_type\": \"gpt2\", \"n_layer\": \"12\"}", "n_layer is '12', expected a whole number"),
    ("{\"model_type\": \"gpt2\", \"n_layer\": 1e300}", "n_layer is 1e+300"),
    ("{\"model_type\": \"gpt2\", \"n_embd\": 100}", "n_embd is 100, expected a multiple of n_head, 12"),
    ("{\"model_type\": \"gpt2\", \"scale_attn_by_inverse_layer_idx\": true}", "is true, expected false"),
    ("{\"model_type\": \"llama\", \"num_key_value_heads\": 5}", "expected a multiple of num_key_value_heads, 5"),
    (
      "{\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}}",
      "rope_scaling.type is 'linear', expected 'default'"
    ),
    (
      "{\"model_type\": \"llama\", \"rope_parameters\": {\"rope_type\": \"yarn\"}}",
      "rope_parameters.rope_type is 'yarn'"
    ),
    ("{\"model_type\": \"mixtral\", \"sliding_window\": 4096}", "sliding_window is 4096"),
    ("{\"model_type\": \"mixtral\", \"num_local_experts\": 1}", "num_experts_per_tok is 2"),
    ("{\"model_type\": \"clip\", \"text_config\": 3}", "text_config is 3, expected an object"),
    (
      "{\"model_type\": \"clip\", \"text_config\": {\"hidden_act\": \"gelu\"}}",
      "text_config is of another hidden_act or layer_norm_eps"
    ),
    (
      "{\"model_type\": \"clip\", \"vision_config\": {\"patch_size\": 15}}",
      "vision_config.image_size is 224, expected a multiple of patch_size, 15"
    ),
    ("{\"model_type\": \"vit\", \"patch_size\": 15}", "image_size is 224, expected a multiple of patch_size, 15"),
    ("{\"model_type\": \"vit\", \"id2label\": {\"1\": \"a\"}}", "id2label is without a text for '0'"),
  ]) func refused(json: String, words: String) throws {
    let folder = ScratchFolder()
    let found = message { _ = try config(json, folder) }
    #expect(found?.contains(words) == true && found?.hasPrefix(folder.path) == true, "\(found ?? "nothing")")
  }

  private static let changes: [(kind: String, field: String, words: String)] = [
    ("llama", #""partial_rotary_factor": 0.5"#, "partial_rotary_factor is 0.5, expected 1"),
    ("llama", #""quantization_config": {"bits": 4}"#, "quantization_config is an object, expected null"),
    ("llama", #""layer_types": ["full_attention", "sliding_attention"]"#, "layer_types[1] is 'sliding_attention'"),
    ("llama", #""embedding_multiplier": 12.0"#, "embedding_multiplier is 12.0, expected 1"),
    ("llama", #""residual_multiplier": 0.2"#, "residual_multiplier is 0.2"),
    ("llama", #""attention_multiplier": 0.1"#, "attention_multiplier is 0.1, expected null"),
    ("llama", #""logits_scaling": 8"#, "logits_scaling is 8"),
    ("llama", #""use_qk_norm": true"#, "use_qk_norm is true"),
    ("llama", #""attn_logit_softcapping": 50"#, "attn_logit_softcapping is 50, expected null"),
    (
      "llama", #""sliding_window": 1024"#,
      "sliding_window is 1024, expected null or at least max_position_embeddings, 2048"
    ),
    ("llama", #""use_sliding_window": true"#, "use_sliding_window is true"),
    ("llama", #""no_rope_layers": [1]"#, "no_rope_layers is a list, expected no such field"),
    ("llama", #""auto_map": {"AutoModel": "modeling.M"}"#, "auto_map is an object, expected an empty object"),
    ("llama", #""rope_theta": 5, "rope_parameters": {"rope_theta": 7}"#, "rope_parameters.rope_theta is 7"),
    ("llama", #""rope_parameters": {"partial_rotary_factor": 0.5}"#, "rope_parameters.partial_rotary_factor is 0.5"),
    ("llama", #""rope_scaling": {"rope_type": "llama3"}"#, "rope_scaling.rope_type is 'llama3'"),
    ("llama", #""rope_scaling": {"rope_type": "default", "low_freq_factor": 1}"#, "rope_scaling.low_freq_factor is 1"),
    ("mixtral", #""num_experts": 4"#, "num_experts is 4, expected no such field"),
    ("gpt2", #""hidden_size": 64"#, "hidden_size is 64, expected no such field"),
    ("gpt2", #""add_cross_attention": true"#, "add_cross_attention is true, expected false"),
    ("gpt2", #""pruned_heads": {"0": [1]}"#, "pruned_heads is an object"),
    ("vit", #""num_labels": 3, "id2label": {"0": "a"}"#, "num_labels is 3, expected 1"),
    ("vit", #""use_swiglu_ffn": true"#, "use_swiglu_ffn is true"),
    ("clip", #""text_config": {"model_type": "chinese_clip_text_model"}"#, "text_config.model_type is 'chinese_clip"),
    ("clip", #""text_config": {"rotary": true}"#, "text_config.rotary is true"),
    (
      "clip", #""text_config_dict": {"hidden_size": 768}"#,
      "text_config_dict.hidden_size is 768, expected 512 as in text_config"
    ),
    (
      "clip", #""vision_config": {"hidden_size": 384}, "vision_config_dict": {}"#,
      "vision_config_dict.hidden_size is 768"
    ),
    ("llama", #""hidden_size": 4096, "hidden_size": 2048"#, "the name 'hidden_size' once"),
  ]

  /// Fields that change what a model computes, of the families that are known and of others that take their names.
  @Test(arguments: changes) func otherComputations(kind: String, field: String, words: String) throws {
    let folder = ScratchFolder()
    let found = message { _ = try config("{\"model_type\": \"\(kind)\", \(field)}", folder) }
    #expect(found?.contains(words) == true && found?.hasPrefix(folder.path) == true, "\(found ?? "nothing")")
  }

  /// An ordinary folder's fields: where it comes from, how it was trained, and values that change nothing.
  @Test(arguments: [
    (
      "llama",
      #""architectures": ["LlamaForCausalLM"], "torch_dtype": "bfloat16", "transformers_version": "4.42.3", "is_llama_config": true, "rope_interleaved": false, "rope_scaling": null, "transformers.js_config": {"dtype": "q4"}, "pretraining_tp": 1, "temperature": 0.6"#
    ),
    (
      "llama",
      #""rope_scaling": {"rope_type": "default"}, "rope_parameters": {"type": "default", "rope_theta": 10000.0, "factor": 1.0}"#
    ),
    (
      "llama",
      #""partial_rotary_factor": 1.0, "use_qk_norm": false, "logits_scaling": 1, "quantization_config": null, "foo": null"#
    ),
    ("llama", #""sliding_window": 2048, "layer_types": ["full_attention"], "auto_map": {}"#),
    (
      "gpt2",
      #""n_ctx": 1024, "summary_type": "cls_index", "task_specific_params": {"a": {"max_length": 50}}, "attn_pdrop": 0.1"#
    ),
    ("vit", #""encoder_stride": 16, "pooler_act": "tanh", "num_labels": 2, "label2id": {"a": 0}"#),
    (
      "clip",
      #""text_config": {"model_type": "clip_text_model", "projection_dim": 512, "dropout": 0.0}, "text_config_dict": {"hidden_size": 512, "projection_dim": 512}, "vision_config_dict": null, "logit_scale_init_value": 2.6592"#
    ),
  ]) func ordinaryFolders(kind: String, fields: String) throws {
    let folder = ScratchFolder()
    let plain = try config("{\"model_type\": \"\(kind)\"}", folder)
    #expect(try config("{\"model_type\": \"\(kind)\", \(fields)}", folder) == plain)
  }

  private static let parity = SharedData.folder("parity")

  @Test(.enabled(if: parity != nil, "no parity in ../shared/data or $MMOE_SHARED_DATA"))
  func configsOfTheReferenceImplementation() throws {
    let folder = try #require(HubConfigTests.parity)
    let stories = try HubConfig(folder + "/llama2c-stories260K")
    #expect(stories.kind == .llama && stories.keyValueHeads == 4 && stories.headWidth == 8 && stories.hidden == 172)
    #expect(stories.text?.rotaryBase == 10_000 && stories.text?.tiedHead == true)
    #expect(try HubConfig(folder + "/mixtral-tiny-random").experts?.count == 4)
    #expect(try HubConfig(folder + "/vit-tiny-random").vision?.labels.count == 10)
    let clip = try HubConfig(folder + "/clip-tiny-random")
    #expect((clip.width, clip.textTower?.width, clip.textTower?.projection, clip.text?.context) == (48, 32, 24, 16))
  }
}

/// The message of the error that a body throws, or nil.
private func message(_ body: () throws -> Void) -> String? {
  do {
    try body()
    return nil
  } catch {
    return "\(error)"
  }
}
