import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEParallel
import MMoEReport
import MMoETensor
import MMoETrain

/// A model in Hugging Face's layout: a folder with `config.json` and `model.safetensors`.
///
/// GPT-2, Llama, Mixtral, ViT and CLIP have our blocks under other names; `HubNames` joins the two.
package struct HubModel {
  package let folder: String
  /// The same model in our terms.
  package let model: ModelConfig
  /// Names of an image model's classes, in the order of its head.
  package let classes: [String]?
  private let family: HubConfig.Kind
  private let weights: SafetensorsCheckpoint

  /// - Throws: `DataError` or `WeightsError` for a folder that is incomplete, damaged, or of a model that is not known.
  package init(_ folder: String) throws {
    self.folder = folder
    let config = try HubConfig(folder)
    family = config.kind
    model = try config.model(file: folder + "/config.json")
    try model.validate()
    classes = config.vision?.labels
    weights = try SafetensorsCheckpoint(folder)
  }

  /// The files that the model is in.
  package var files: [String] { [folder + "/config.json"] + weights.paths }

  /// The tokenizer beside the weights, where there is one.
  ///
  /// - Throws: `DataError` for a tokenizer that is broken or of another kind than byte-level BPE.
  package func tokenizer() throws -> (any Tokenizer)? {
    // CLIP's lower-cases and ends words, which ours do not.
    guard family != .clip else { return nil }
    let names = ["tokenizer.json", "vocab.json", "encoder.json"]
    guard names.contains(where: { FileManager.default.fileExists(atPath: folder + "/" + $0) }) else { return nil }
    return try TokenizerFiles.load(folder)
  }

  /// Fills a model of the configuration `model`.
  ///
  /// - Throws: `DataError` or `WeightsError` for a tensor that is missing, misshapen or of no parameter.
  package func fill(_ parameters: [Parameter]) throws {
    try requireTensors(of: parameters)
    for parameter in parameters {
      try read(
        parameter.path, experts: parameter.experts?.local ?? allExperts, shape: parameter.shape,
        into: parameter.value.pointer)
    }
  }

  /// Checks that the files have the tensors of a model of the configuration `model` in their shapes and of a type that
  /// weights have, and no others.
  ///
  /// - Throws: `WeightsError` naming the tensor, its shape or type, and what is expected.
  func requireTensors(of parameters: [Parameter]) throws {
    let names = names
    var known: Set<String> = []
    for parameter in parameters {
      let parts = try names.parts(
        of: parameter.path, shape: parameter.shape, experts: parameter.experts?.local ?? allExperts)
      for part in parts { try check(part, parameter.path) }
      // Experts of other ranks are known, too.
      known.formUnion(
        try names.parts(of: parameter.path, shape: parameter.shape, experts: allExperts).map(\.name))
    }
    if let extra = weights.names.first(where: { !known.contains($0) && !names.isIgnored($0) }) {
      throw WeightsError(
        folder, found: "tensor \(extra) belongs to no parameter", remedy: "the model has parts that are not imported")
    }
    try requireTiedHead()
  }

  private func check(_ part: HubNames.Part, _ path: String) throws {
    guard let shape = weights.shape(part.name) else {
      throw WeightsError(
        folder, found: "no tensor \(part.name)", expected: "one of shape \(part.shape) for \(path)",
        remedy: "config.json does not fit the weights")
    }
    guard shape == part.shape else {
      throw WeightsError(
        folder, found: "tensor \(part.name) has shape \(shape)", expected: "\(part.shape) for \(path)",
        remedy: "config.json does not fit the weights")
    }
    if let type = weights.type(part.name), ![.float32, .float16, .bfloat16, .float64].contains(type) {
      throw WeightsError(
        folder, found: "tensor \(part.name) has dtype \(type.rawValue)", expected: "F32, F16, BF16 or F64",
        remedy: "whole numbers are packed or no weights, so give a folder of plain ones")
    }
  }

  /// A head in the file is a copy of the embedding where config.json says so, or one of the two is lost.
  private func requireTiedHead() throws {
    guard let head = weights.names.first(where: names.isTiedHead), let embedding = names.embedding else { return }
    guard weights.shape(head) == weights.shape(embedding), try weights.floats(head) == weights.floats(embedding) else {
      throw WeightsError(
        folder, found: "tensor \(head) is another than \(embedding), but tie_word_embeddings is true",
        remedy: "set it to false in config.json, or remove the tensor")
    }
  }

  private var allExperts: Range<Int> { 0..<model.moe.experts }
  private var names: HubNames { HubNames(family: family, config: model, prefix: prefix) }

  /// Reads the numbers of a parameter, or of some of its experts, in our order.
  ///
  /// - Parameters:
  ///   - path: of the parameter; experts: those that are wanted, where it stacks experts.
  ///   - shape: what the numbers are expected to be.
  /// - Throws: `DataError` or `WeightsError` for a tensor that is missing or misshapen.
  package func read(
    _ path: String, experts: Range<Int>, shape: [Int], into destination: UnsafeMutablePointer<Float>
  ) throws {
    let parts = try names.parts(of: path, shape: shape, experts: experts)
    guard !parts.isEmpty else { return destination.update(repeating: 0, count: shape.reduce(1, *)) }
    var target = destination
    for part in parts {
      try check(part, path)
      let values = try weights.floats(part.name)
      if part.isTransposed {
        let (rows, columns) = (part.shape[0], part.shape[1])
        for r in 0..<rows { for c in 0..<columns { target[c * rows + r] = values[r * columns + c] } }
      } else {
        values.withUnsafeBufferPointer {
          if let start = $0.baseAddress { target.update(from: start, count: values.count) }
        }
      }
      target += values.count
    }
  }

  /// GPT-2's files name their tensors with and without `transformer.`, base models of ViT without `vit.`.
  private var prefix: String {
    switch family {
    case .gpt2: weights.names.contains { $0.hasPrefix("transformer.") } ? "transformer." : ""
    case .vit: weights.names.contains { $0.hasPrefix("vit.") } ? "vit." : ""
    case .llama, .mixtral: "model."
    case .clip: ""
    }
  }
}
