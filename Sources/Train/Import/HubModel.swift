import Foundation
import MMoEData
import MMoEModels
import MMoETensor

/// A model in Hugging Face's layout: a folder with `config.json` and `model.safetensors`.
///
/// GPT-2, Llama, Mixtral, ViT and CLIP have our blocks under other names; `HubNames` joins the two.
public struct HubModel {
  public let folder: String
  /// The same model in our terms.
  public let model: ModelConfig
  /// Names of an image model's classes, in the order of its head.
  public let classes: [String]?
  private let family: HubConfig.Kind
  private let weights: SafetensorsCheckpoint

  /// - Throws: `DataError` or `TrainError` for a folder that is incomplete, damaged, or of a model that is not known.
  public init(_ folder: String) throws {
    self.folder = folder
    let config = try HubConfig(folder)
    family = config.kind
    model = try config.model(file: folder + "/config.json")
    try model.validate()
    classes = config.vision?.labels
    weights = try SafetensorsCheckpoint(folder)
  }

  /// Whether a path is a folder of this layout.
  public static func isOne(_ path: String) -> Bool {
    FileManager.default.fileExists(atPath: path + "/config.json")
  }

  /// The files that the model is in.
  var files: [String] { [folder + "/config.json"] + weights.paths }

  /// The task that models of this kind are for.
  public var task: TaskKind { TaskKind(training: model.kind) }

  /// The tokenizer beside the weights, where there is one.
  ///
  /// - Throws: `DataError` for a tokenizer that is broken or of another kind than byte-level BPE.
  public func tokenizer() throws -> (any Tokenizer)? {
    // CLIP's lower-cases and ends words, which ours do not.
    guard family != .clip else { return nil }
    let names = ["tokenizer.json", "vocab.json", "encoder.json"]
    guard names.contains(where: { FileManager.default.fileExists(atPath: folder + "/" + $0) }) else { return nil }
    return try TokenizerFiles.load(folder)
  }

  /// Fills a model of the configuration `model`.
  ///
  /// - Throws: `DataError` or `TrainError` for a tensor that is missing, misshapen or of no parameter.
  public func fill(_ parameters: [Parameter]) throws {
    try requireKnownTensors(parameters)
    for parameter in parameters {
      try read(
        parameter.path, experts: parameter.experts?.local ?? allExperts, shape: parameter.shape,
        into: parameter.value.pointer)
    }
  }

  /// Checks that every tensor belongs to one of the parameters of a model of the configuration `model`.
  ///
  /// - Throws: `TrainError` naming one that does not.
  func requireKnownTensors(_ parameters: [Parameter]) throws {
    let names = names
    var known: Set<String> = []
    for parameter in parameters {
      known.formUnion(try names.parts(of: parameter.path, experts: allExperts).map(\.name))
    }
    if let extra = weights.names.first(where: { !known.contains($0) && !names.isIgnored($0) }) {
      throw TrainError("\(folder): tensor \(extra) belongs to no parameter; the model has parts that are not imported")
    }
  }

  private var allExperts: Range<Int> { 0..<model.moe.experts }
  private var names: HubNames { HubNames(family: family, config: model, prefix: prefix) }

  /// Reads the numbers of a parameter, or of some of its experts, in our order.
  ///
  /// - Parameters:
  ///   - path: of the parameter; experts: those that are wanted, where it stacks experts.
  ///   - shape: what the numbers are expected to be.
  /// - Throws: `DataError` or `TrainError` for a tensor that is missing or misshapen.
  func read(
    _ path: String, experts: Range<Int>, shape: [Int], into destination: UnsafeMutablePointer<Float>
  ) throws {
    let count = shape.reduce(1, *)
    let parts = try names.parts(of: path, experts: experts)
    guard !parts.isEmpty else { return destination.update(repeating: 0, count: count) }
    var offset = 0
    for part in parts {
      let values = try weights.floats(part.name)
      let found = weights.shape(part.name) ?? []
      let columns = shape.last ?? 1
      // Rows stack up; leading and spatial axes of size 1 and more only fold into them.
      let fits = part.isTransposed ? found == shape.reversed() : shape.count == 1 || values.count % columns == 0
      guard fits, offset + values.count <= count else {
        throw TrainError(
          "\(folder): tensor \(part.name) has shape \(found), which does not fit \(path) of shape \(shape); config.json does not fit the weights"
        )
      }
      let target = destination + offset
      if part.isTransposed {
        let (rows, columns) = (found[0], found[1])
        for r in 0..<rows { for c in 0..<columns { target[c * rows + r] = values[r * columns + c] } }
      } else {
        values.withUnsafeBufferPointer {
          if let start = $0.baseAddress { target.update(from: start, count: values.count) }
        }
      }
      offset += values.count
    }
    guard offset == count else {
      throw TrainError(
        "\(folder): \(offset) numbers for \(path), expected \(count) of shape \(shape); config.json does not fit the weights"
      )
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
