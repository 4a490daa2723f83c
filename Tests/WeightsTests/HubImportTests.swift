import Foundation
import MMoEData
import MMoEModels
import MMoETensor
import TestSupport
import Testing

@testable import MMoETrain
@testable import MMoEWeights

/// Models in Hugging Face's layout: logits as the original implementation computes them.
@Suite struct HubImportTests {
  let engine = try! Engine(threads: 2)

  private func largest(_ found: [Float], _ expected: [Float]) -> Float {
    guard found.count == expected.count else { return .infinity }
    return zip(found, expected).reduce(0) { max($0, abs($1.0 - $1.1)) }
  }

  static let languageModels = ["gpt2-tiny-random", "llama2c-stories260K", "mixtral-tiny-random"]

  @Test(.enabled(if: SharedData.folder("parity") != nil, "needs the shared parity models"), arguments: languageModels)
  func languageLogits(name: String) throws {
    let folder = try #require(SharedData.folder("parity/" + name))
    let hub = try HubModel(folder)
    let model = try GPT(hub.model, seed: 0, engine: engine)
    try hub.fill(model.parameters)
    let ids = try NumpyFile(folder + "/input_input_ids.npy")
    let pass = ForwardPass(Tape(engine, recording: false), training: false)
    let rows = model(ids.integers.map(Int32.init), sequence: ids.shape[1], pass)
    let expected = try NumpyFile(folder + "/expected_logits.npy")
    #expect(largest(model.logits(rows, pass.tape).values, expected.values) < 1e-4)
  }

  /// The trained Llama: greedy decoding gives the published text, token by token.
  @Test(.enabled(if: SharedData.folder("parity") != nil, "needs the shared parity models"))
  func trainedModelTellsItsStory() throws {
    let folder = try #require(SharedData.folder("parity/llama2c-stories260K"))
    let hub = try HubModel(folder)
    let model = try GPT(hub.model, seed: 0, engine: engine)
    try hub.fill(model.parameters)
    struct Expected: Decodable {
      let greedy: [Int32]
      enum CodingKeys: String, CodingKey { case greedy = "greedy_ids" }
    }
    let expected = try JSONDecoder().decode(
      Expected.self, from: Data(contentsOf: URL(fileURLWithPath: folder + "/expected.json"))
    ).greedy
    var generator = TextGenerator(
      model, ByteTokenizer(), engine: engine, sampling: SamplingOptions(temperature: 0))
    let found = try generator.run([expected[0]], tokens: expected.count - 1) { _ in }
    #expect(found.ids == Array(expected.dropFirst()))
  }

  @Test(.enabled(if: SharedData.folder("parity") != nil, "needs the shared parity models"))
  func visionLogits() throws {
    let folder = try #require(SharedData.folder("parity/vit-tiny-random"))
    let hub = try HubModel(folder)
    let model = try VisionTransformer(hub.model, seed: 0, engine: engine)
    try hub.fill(model.parameters)
    let pixels = try NumpyFile(folder + "/input_pixel_values.npy")
    let pass = ForwardPass(Tape(engine, recording: false), training: false)
    let logits = model(Tensor(pixels.values, shape: pixels.shape), pass)
    #expect(largest(logits.values, try NumpyFile(folder + "/expected_logits.npy").values) < 1e-4)
  }

  /// Unit vectors of images and texts, and their similarities.
  @Test(.enabled(if: SharedData.folder("parity") != nil, "needs the shared parity models"))
  func clipVectors() throws {
    let folder = try #require(SharedData.folder("parity/clip-tiny-random"))
    let hub = try HubModel(folder)
    #expect(hub.model.kind == .multimodal)
    let model = try MultimodalTransformer(hub.model, seed: 0, engine: engine)
    try hub.fill(model.parameters)
    try expectClip(model, folder)
  }

  private func expectClip(_ model: MultimodalTransformer, _ folder: String) throws {
    let pixels = try NumpyFile(folder + "/input_pixel_values.npy")
    let images = pixels.shape[0]
    let ids = try NumpyFile(folder + "/input_input_ids.npy")
    // A text ends with its first end token, 299.
    let texts = (0..<ids.shape[0]).map { row -> [Int32] in
      let own = ids.integers[row * ids.shape[1]..<(row + 1) * ids.shape[1]].map(Int32.init)
      return Array(own[...own.firstIndex(of: 299)!])
    }
    let pass = ForwardPass(Tape(engine, recording: false), training: false)
    let states = model(
      PackedSequences(
        images: Tensor(pixels.values, shape: pixels.shape),
        (0..<images).map { PackedSequences.Sequence(image: $0) } + texts.map { PackedSequences.Sequence(text: $0) }),
      pass)
    let image = PairEmbedder.unitRows(
      model.embeddings(model.pooledRows(states, of: "vision", pass.tape), of: "vision", pass.tape))
    let text = PairEmbedder.unitRows(
      model.textEmbeddings(states, of: texts.indices.map { images + $0 }, pass.tape))
    #expect(largest(Array(image.joined()), try NumpyFile(folder + "/expected_image_embeds.npy").values) < 1e-4)
    #expect(largest(Array(text.joined()), try NumpyFile(folder + "/expected_text_embeds.npy").values) < 1e-4)
    let logits = image.flatMap { i in text.map { PairEmbedder.similarity(i, $0) * model.similarityScale } }
    #expect(largest(logits, try NumpyFile(folder + "/expected_logits_per_image.npy").values) < 1e-4)
  }

  /// CLIP's patches have no bias: written in its layout, ours becomes part of the positions, and the vectors stay.
  @Test(.enabled(if: SharedData.folder("parity") != nil, "needs the shared parity models"))
  func clipTakesAPatchBias() throws {
    let hub = try HubModel(try #require(SharedData.folder("parity/clip-tiny-random")))
    let model = try MultimodalTransformer(hub.model, seed: 0, engine: engine)
    try hub.fill(model.parameters)
    func parameter(_ path: String) throws -> Parameter { try #require(model.parameters.first { $0.path == path }) }
    let (bias, positions) = (try parameter("patch_embedding.bias"), try parameter("patch_positions"))
    func vectors() -> [Float] {
      let pass = ForwardPass(Tape(engine, recording: false), training: false)
      let states = model(
        PackedSequences(images: randomTensor([1, 3, 32, 32], seed: 1), [.init(image: 0)]), pass)
      return model.embeddings(model.pooledRows(states, of: "vision", pass.tape), of: "vision", pass.tape).values
    }
    let plain = vectors()
    for i in 0..<bias.count { bias.value.pointer[i] = Float(i) * 0.03 }
    let biased = vectors()
    var written: [String: [Float]] = [:]
    try HubExport(hub.model).forEachTensor(
      model.parameters.map { ($0.path, $0.shape) }, values: { path in try parameter(path).value.values },
      { name, _, values in written[name] = values })
    for i in 0..<bias.count { bias.value.pointer[i] = 0 }
    for (i, value) in written["vision_model.embeddings.position_embedding.weight"]!.enumerated() {
      positions.value.pointer[i] = value
    }
    #expect(largest(vectors(), biased) < 1e-4 && largest(plain, biased) > 1e-2)
  }

  // MARK: Folders made here

  /// A GPT-2 of one layer with numbered weights; `change` spoils it.
  private func makeGPT2(
    _ folder: String, config: String = "", change: (inout [String: [Int]]) -> Void = { _ in }
  ) throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let json =
      "{\"model_type\": \"gpt2\", \"n_layer\": 1, \"n_embd\": 8, \"n_head\": 2, \"n_positions\": 6, \"vocab_size\": 11\(config)}"
    try json.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
    var shapes: [String: [Int]] = ["wte.weight": [11, 8], "wpe.weight": [6, 8], "ln_f.weight": [8], "ln_f.bias": [8]]
    for (name, shape) in [
      ("attn.c_attn", [8, 24]), ("attn.c_proj", [8, 8]), ("mlp.c_fc", [8, 32]), ("mlp.c_proj", [32, 8]),
    ] {
      shapes["h.0.\(name).weight"] = shape
      shapes["h.0.\(name).bias"] = [shape[1]]
    }
    for name in ["ln_1", "ln_2"] { for kind in ["weight", "bias"] { shapes["h.0.\(name).\(kind)"] = [8] } }
    change(&shapes)
    let buffers = shapes.sorted { $0.key < $1.key }.map { name, shape in
      (name, shape, (0..<shape.reduce(1, *)).map { Float($0) * 0.01 })
    }
    let storage = buffers.map { UnsafeMutableBufferPointer<Float>.allocate(capacity: $0.2.count) }
    defer { for buffer in storage { buffer.deallocate() } }
    let tensors = zip(buffers, storage).map { entry, buffer in
      _ = buffer.initialize(from: entry.2)
      return SafetensorsTensor(name: entry.0, shape: entry.1, values: UnsafeBufferPointer(buffer))
    }
    try SafetensorsFile.write(tensors, to: folder + "/model.safetensors")
  }

  @Test func transposesAndNames() throws {
    let scratch = ScratchFolder()
    try makeGPT2(scratch("model"))
    let hub = try HubModel(scratch("model"))
    let model = try GPT(hub.model, seed: 0, engine: engine)
    try hub.fill(model.parameters)
    let fc1 = try #require(model.parameters.first { $0.path == "blocks.0.mlp.fc1.weight" })
    // [in, out] in the file: element (3, 5) stands at 3 · 32 + 5.
    #expect(fc1.shape == [32, 8] && abs(fc1.value.pointer[5 * 8 + 3] - Float(3 * 32 + 5) * 0.01) < 1e-5)
  }

  @Test func wrongFoldersAreNamed() throws {
    let scratch = ScratchFolder()
    func expect(_ name: String, _ words: String..., config: String = "", change: (inout [String: [Int]]) -> Void) throws
    {
      try makeGPT2(scratch(name), config: config, change: change)
      #expect {
        let hub = try HubModel(scratch(name))
        try hub.fill(try GPT(hub.model, seed: 0, engine: engine).parameters)
      } throws: { error in words.allSatisfy { "\(error)".contains($0) } }
    }
    try expect("missing", "h.0.mlp.c_fc.weight") { $0["h.0.mlp.c_fc.weight"] = nil }
    try expect("misshapen", "h.0.mlp.c_fc.weight", "[32, 8]") { $0["h.0.mlp.c_fc.weight"] = [32, 8] }
    try expect("short", "wte.weight has shape [10, 8], expected [11, 8] for token_embedding") {
      $0["wte.weight"] = [10, 8]
    }
    try expect("extra", "h.0.crossattention.weight") { $0["h.0.crossattention.weight"] = [8] }
    try expect("activation", "relu", config: ", \"activation_function\": \"relu\"") { _ in }
    #expect { try HubModel(scratch("nowhere")) } throws: { "\($0)".contains("nowhere") }
  }
}
