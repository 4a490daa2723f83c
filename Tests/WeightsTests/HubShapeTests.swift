import Foundation
import MMoEModels
import MMoETensor
import TestSupport
import Testing

@testable import MMoEData
@testable import MMoETrain
@testable import MMoEWeights

/// Folders of every family, written here: their tensors are taken in their shapes and of their types, and in no others.
@Suite struct HubShapeTests {
  let engine = try! Engine(threads: 1)

  /// One tensor of a file.
  private struct Entry {
    var shape: [Int]
    var values: [Float]
  }

  static let configs: [String: String] = [
    "gpt2": #""n_layer": 1, "n_embd": 8, "n_head": 2, "n_positions": 6, "vocab_size": 11, "n_inner": 12"#,
    "llama":
      #""num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 12, "max_position_embeddings": 6, "vocab_size": 11"#,
    "mixtral":
      #""num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 12, "max_position_embeddings": 6, "vocab_size": 11, "num_local_experts": 2"#,
    "vit":
      #""num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12, "image_size": 8, "patch_size": 4, "id2label": {"0": "a", "1": "b", "2": "c"}"#,
    "clip":
      #""projection_dim": 6, "vision_config": {"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12, "image_size": 8, "patch_size": 4}, "text_config": {"num_hidden_layers": 1, "hidden_size": 10, "num_attention_heads": 2, "intermediate_size": 14, "max_position_embeddings": 5, "vocab_size": 11}"#,
  ]

  /// The tensors of a family's model with random weights.
  private func tensors(_ family: String, _ folder: String) throws -> (names: [String: Entry], model: any TrainableModel)
  {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let file = folder + "/config.json"
    try "{\"model_type\": \"\(family)\", \(try #require(HubShapeTests.configs[family]))}".write(
      toFile: file, atomically: true, encoding: .utf8)
    let config = try HubConfig(file).model(file: file)
    let model = try config.makeModel(seed: 1, engine: engine)
    var arrays: [String: [Float]] = [:]
    var shapes: [(name: String, shape: [Int])] = []
    for parameter in model.parameters {
      for piece in CheckpointLayout.pieces(of: parameter) {
        arrays[piece.name] = Array(parameter.value.values[piece.offset..<piece.offset + piece.count])
        shapes.append((piece.name, piece.shape))
      }
    }
    // Norms and biases that start alike would not show that they were swapped.
    for (index, name) in arrays.keys.sorted().enumerated() {
      arrays[name] = arrays[name]!.enumerated().map { $1 + Float(index) + Float($0) * 0.01 }
    }
    // CLIP's patches have no bias.
    if family == "clip" { arrays["patch_embedding.bias"] = arrays["patch_embedding.bias"]?.map { _ in 0 } }
    for parameter in model.parameters {
      for piece in CheckpointLayout.pieces(of: parameter) {
        for (i, value) in arrays[piece.name]!.enumerated() { parameter.value.pointer[piece.offset + i] = value }
      }
    }
    var result: [String: Entry] = [:]
    func values(_ name: String) throws -> [Float] { try #require(arrays[name]) }
    try HubExport(config).forEachTensor(shapes, values: values) { name, shape, values in
      result[name] = Entry(shape: shape, values: values)
    }
    return (result, model)
  }

  private func write(_ tensors: [String: Entry], _ folder: String) throws {
    let buffers = tensors.sorted { $0.key < $1.key }.map { name, entry in
      let buffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: entry.values.count)
      _ = buffer.initialize(from: entry.values)
      return SafetensorsTensor(name: name, shape: entry.shape, values: UnsafeBufferPointer(buffer))
    }
    defer { for buffer in buffers { buffer.values.deallocate() } }
    try SafetensorsFile.write(buffers, to: folder + "/model.safetensors")
  }

  /// What reading a folder as `--init-from` does ends with.
  private func refusal(_ folder: String) -> String {
    do {
      _ = try HubWeights(HubModel(folder))
      return "taken"
    } catch {
      return "\(error)"
    }
  }

  /// Every number comes back to its place.
  @Test(arguments: configs.keys.sorted()) func roundTrip(family: String) throws {
    let scratch = ScratchFolder()
    let (tensors, model) = try tensors(family, scratch("model"))
    try write(tensors, scratch("model"))
    let weights = try HubWeights(HubModel(scratch("model")))
    for parameter in model.parameters {
      for piece in CheckpointLayout.pieces(of: parameter) {
        let expected = Array(parameter.value.values[piece.offset..<piece.offset + piece.count])
        #expect(try weights.floats(piece.name) == expected, "\(piece.name)")
      }
    }
  }

  /// A tensor with the right number of numbers in another shape, of another type, or missing, is named; so is one too many.
  @Test(arguments: configs.keys.sorted()) func everyTensorHasItsShape(family: String) throws {
    let scratch = ScratchFolder()
    let folder = scratch("model")
    let (tensors, _) = try tensors(family, folder)
    for (name, entry) in tensors {
      var changed = tensors
      let reversed: [Int] = entry.shape.reversed()
      changed[name]?.shape = reversed != entry.shape ? reversed : [1] + entry.shape
      try write(changed, folder)
      let words = "tensor \(name) has shape \(changed[name]!.shape), expected \(entry.shape)"
      #expect(refusal(folder).contains(words), "\(refusal(folder))")
      changed[name] = nil
      try write(changed, folder)
      #expect(refusal(folder).contains("no tensor \(name), expected one of shape \(entry.shape)"), "\(refusal(folder))")
    }
    var more = tensors
    more["model.layers.0.pooler.dense.weight"] = Entry(shape: [2], values: [1, 2])
    try write(more, folder)
    #expect(refusal(folder).contains("tensor model.layers.0.pooler.dense.weight belongs to no parameter"))
  }

  @Test func swappedAndWholeNumbers() throws {
    let scratch = ScratchFolder()
    let folder = scratch("model")
    let (tensors, _) = try tensors("llama", folder)
    let (q, k) = ("model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight")
    var changed = tensors
    (changed[q], changed[k]) = (tensors[k], tensors[q])
    try write(changed, folder)
    #expect(refusal(folder).contains("\(q) has shape [8, 16], expected [16, 16]"), "\(refusal(folder))")
    // The same bytes under the name of another type.
    try write(tensors, folder)
    let file = folder + "/model.safetensors"
    var bytes = try Data(contentsOf: URL(fileURLWithPath: file))
    let name = try #require(bytes.range(of: Data("\"lm_head.weight\":".utf8)))
    let type = try #require(bytes.range(of: Data("\"F32\"".utf8), in: name.upperBound..<bytes.endIndex))
    bytes[type.lowerBound + 1] = UInt8(ascii: "I")
    try bytes.write(to: URL(fileURLWithPath: file))
    #expect(refusal(folder).contains("tensor lm_head.weight has dtype I32, expected F32"), "\(refusal(folder))")
  }

  /// A head beside an embedding that config.json ties it to.
  @Test func tiedHeads() throws {
    let scratch = ScratchFolder()
    let folder = scratch("model")
    var (tensors, _) = try tensors("gpt2", folder)
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"]
    try write(tensors, folder)
    #expect(refusal(folder) == "taken")
    tensors["lm_head.weight"]?.values[3] += 1
    try write(tensors, folder)
    #expect(refusal(folder).contains("tensor lm_head.weight is another than transformer.wte.weight, but tie_word"))
  }

  /// A tokenizer with more tokens than the model: the conversion says it, and the rows that there are stay.
  @Test func largerTokenizers() throws {
    let scratch = ScratchFolder()
    let folder = scratch("model")
    let (tensors, _) = try tensors("gpt2", folder)
    try write(tensors, folder)
    var trainer = BytePairTrainer([UInt8]("the cat the cat".utf8))
    try trainer.train(vocabularySize: 258).save(to: folder)
    let line = try CheckpointConversion.convert(folder, to: scratch("model.h5"))
    #expect(line.contains("has 258 tokens, the model knows 11 of them"), "\(line)")
    let resized = ArrayResizing.rows([1, 2, 3, 4], fresh: [9, 9, 9, 9, 5, 6], width: 2)
    #expect(resized.values == [1, 2, 3, 4, 5, 6] && resized.note == "the first 2 of 2 rows kept, 1 fresh")
    #expect(ArrayResizing.rows([1, 2, 3, 4], fresh: [9, 9], width: 2).values == [1, 2])
  }
}
