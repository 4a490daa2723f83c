import Foundation
import TestSupport
import Testing

@testable import MMoEData

/// `config.json` of models from elsewhere.
@Suite struct HubConfigTests {
  private func config(_ json: String, _ folder: TemporaryFolder) throws -> HubConfig {
    try HubConfig(folder.write("config.json", [UInt8](json.utf8)))
  }

  @Test func defaultsAreThoseOfTheModelType() throws {
    let folder = try TemporaryFolder()
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
    ("{\"model_type\": 3}", "model_type is 3.0, expected a text"),
    ("{\"model_type\": \"gpt2\", \"n_layer\": \"12\"}", "n_layer is '12', expected a whole number"),
    ("{\"model_type\": \"gpt2\", \"n_layer\": 1e300}", "n_layer is 1e+300"),
    ("{\"model_type\": \"gpt2\", \"n_embd\": 100}", "n_embd is 100, expected a multiple of n_head, 12"),
    ("{\"model_type\": \"gpt2\", \"scale_attn_by_inverse_layer_idx\": true}", "is true, expected false"),
    ("{\"model_type\": \"llama\", \"num_key_value_heads\": 5}", "expected a multiple of num_key_value_heads, 5"),
    ("{\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"linear\"}}", "rope_scaling is an object"),
    (
      "{\"model_type\": \"llama\", \"rope_parameters\": {\"rope_type\": \"yarn\"}}",
      "rope_parameters.rope_type is 'yarn'"
    ),
    ("{\"model_type\": \"mixtral\", \"sliding_window\": 4096}", "sliding_window is 4096"),
    ("{\"model_type\": \"mixtral\", \"num_local_experts\": 1}", "num_experts_per_tok is 2"),
    ("{\"model_type\": \"clip\", \"text_config\": 3}", "text_config is 3.0, expected an object"),
    (
      "{\"model_type\": \"clip\", \"text_config\": {\"hidden_act\": \"gelu\"}}",
      "text_config is of another hidden_act or layer_norm_eps"
    ),
    (
      "{\"model_type\": \"clip\", \"vision_config\": {\"patch_size\": 15}}",
      "vision_config: image_size is 224, expected a multiple of patch_size, 15"
    ),
    ("{\"model_type\": \"vit\", \"patch_size\": 15}", "image_size is 224, expected a multiple of patch_size, 15"),
    ("{\"model_type\": \"vit\", \"id2label\": {\"1\": \"a\"}}", "id2label is without a text for '0'"),
  ]) func refused(json: String, words: String) throws {
    let folder = try TemporaryFolder()
    let found = message { _ = try config(json, folder) }
    #expect(found?.contains(words) == true && found?.hasPrefix(folder.path) == true, "\(found ?? "nothing")")
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
