import Foundation
import MMoEData
import MMoEModels
import MMoETensor

/// A model in Hugging Face's layout: a folder with `config.json` and `model.safetensors`.
///
/// GPT-2, Llama, Mixtral and ViT have our blocks under other names; `HubNames` joins the two.
public struct HubModel {
  public let folder: String
  /// The same model in our terms.
  public let model: ModelConfig
  private let family: HubConfig.Kind
  private let weights: SafetensorsCheckpoint

  /// - Throws: `DataError` or `TrainError` for a folder that is incomplete, damaged, or of a model that is not known.
  public init(_ folder: String) throws {
    self.folder = folder
    let config = try HubConfig(folder)
    family = config.kind
    model = try config.model(file: folder + "/config.json")
    try model.validate()
    weights = try SafetensorsCheckpoint(folder)
  }

  /// Whether a path is a folder of this layout.
  public static func isOne(_ path: String) -> Bool {
    FileManager.default.fileExists(atPath: path + "/config.json")
  }

  /// The task that models of this kind are for.
  public var task: TaskKind { model.kind == .gpt ? .lm : .imagenetSubset }

  /// The tokenizer beside the weights, where there is one.
  ///
  /// - Throws: `DataError` for a tokenizer that is broken or of another kind than byte-level BPE.
  public func tokenizer() throws -> (any Tokenizer)? {
    let names = ["tokenizer.json", "vocab.json", "encoder.json"]
    guard names.contains(where: { FileManager.default.fileExists(atPath: folder + "/" + $0) }) else { return nil }
    return try TokenizerFiles.load(folder)
  }

  /// Fills a model of the configuration `model`; one with another number of classes keeps its fresh head.
  ///
  /// - Returns: the paths of parameters that were left as they were.
  /// - Throws: `DataError` or `TrainError` for a tensor that is missing, misshapen or of no parameter.
  public func fill(_ parameters: [Parameter]) throws -> [String] {
    let names = HubNames(family: family, config: model, prefix: prefix)
    var used: Set<String> = []
    var fresh: [String] = []
    for parameter in parameters {
      let all = 0..<model.moe.experts
      used.formUnion(try names.parts(of: parameter.path, experts: all).map(\.name))
      if family == .vit, parameter.path.hasPrefix("head."), parameter.shape[0] != model.vision.classes {
        fresh.append(parameter.path)
        continue
      }
      try fill(parameter, names.parts(of: parameter.path, experts: parameter.experts?.local ?? all))
    }
    if let extra = weights.names.first(where: { !used.contains($0) && !names.isIgnored($0) }) {
      throw TrainError("\(folder): tensor \(extra) belongs to no parameter; the model has parts that are not imported")
    }
    return fresh
  }

  private func fill(_ parameter: Parameter, _ parts: [HubNames.Part]) throws {
    var offset = 0
    for part in parts {
      let values = try weights.floats(part.name)
      let shape = weights.shape(part.name) ?? []
      let columns = parameter.shape.last ?? 1
      // Rows stack up; leading and spatial axes of size 1 and more only fold into them.
      let fits =
        part.isTransposed
        ? shape == parameter.shape.reversed() : parameter.shape.count == 1 || values.count % columns == 0
      guard fits, offset + values.count <= parameter.count else { throw mismatch(part.name, shape, parameter) }
      let target = parameter.value.pointer + offset
      if part.isTransposed {
        let (rows, columns) = (shape[0], shape[1])
        for r in 0..<rows { for c in 0..<columns { target[c * rows + r] = values[r * columns + c] } }
      } else {
        values.withUnsafeBufferPointer {
          if let start = $0.baseAddress { target.update(from: start, count: values.count) }
        }
      }
      offset += values.count
    }
    guard offset == parameter.count else {
      throw TrainError(
        "\(folder): \(offset) numbers for \(parameter.path), expected \(parameter.count) of shape \(parameter.shape); config.json does not fit the weights"
      )
    }
  }

  /// GPT-2's files name their tensors with and without `transformer.`, base models of ViT without `vit.`.
  private var prefix: String {
    switch family {
    case .gpt2: weights.names.contains { $0.hasPrefix("transformer.") } ? "transformer." : ""
    case .vit: weights.names.contains { $0.hasPrefix("vit.") } ? "vit." : ""
    case .llama, .mixtral: "model."
    }
  }

  private func mismatch(_ name: String, _ shape: [Int], _ parameter: Parameter) -> TrainError {
    TrainError(
      "\(folder): tensor \(name) has shape \(shape), which does not fit \(parameter.path) of shape \(parameter.shape); config.json does not fit the weights"
    )
  }
}
