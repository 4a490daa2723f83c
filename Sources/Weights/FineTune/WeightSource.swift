import Foundation
import MMoEData
import MMoEModels
import MMoETensor
import MMoETrain

/// Weights that a new run can start from: named arrays under the paths that our checkpoints give them, every expert under
/// its own number.
package protocol WeightSource {
  /// For messages.
  var path: String { get }
  /// The files that hold them.
  var files: [String] { get }
  /// What they are the weights of.
  var model: ModelConfig { get }
  /// Names of the classes of an image model's head.
  var classes: [String]? { get }
  /// Names and shapes of all arrays.
  var arrays: [(name: String, shape: [Int])] { get }

  /// Whether a new run of the same kind takes over the form of the model; not where the form follows the run.
  var bringsForm: Bool { get }
  /// The tokenizer's files, where a new run may take them over.
  var tokenizerFiles: [String: [UInt8]]? { get }
  /// Gives the arrays the names that they have in a model.
  ///
  /// - Throws: `ModelError` for a configuration that cannot be.
  func fit(_ target: ModelConfig) throws

  /// The tokenizer of a language model, where it is known.
  ///
  /// - Throws: `DataError` or `TrainError` where its files are broken.
  func tokenizer() throws -> (any Tokenizer)?
  /// The numbers of one array, row-major.
  ///
  /// - Throws: what is wrong with the file.
  func floats(_ name: String) throws -> [Float]
}

extension WeightSource {
  package var bringsForm: Bool { true }
  package var tokenizerFiles: [String: [UInt8]]? { nil }
  package func fit(_ target: ModelConfig) throws {}
}

/// A checkpoint of `mmoe train`.
struct CheckpointWeights: WeightSource {
  let checkpoint: LoadedCheckpoint

  var path: String { checkpoint.file }
  var files: [String] { checkpoint.parts.map(\.file) }
  var model: ModelConfig { checkpoint.info.config.model }
  var classes: [String]? { checkpoint.info.vocabulary["classes"] }
  var arrays: [(name: String, shape: [Int])] { checkpoint.modelArrays() }

  func tokenizer() throws -> (any Tokenizer)? {
    // One that was imported without a tokenizer has none.
    let files = checkpoint.info.attachments
    return model.kind.readsText && !files.isEmpty ? try TokenizerAttachments.load(files) : nil
  }

  var tokenizerFiles: [String: [UInt8]]? { checkpoint.info.attachments }
  func floats(_ name: String) throws -> [Float] { try checkpoint.modelArray(name) }
}

/// A folder of Hugging Face's layout.
struct HubWeights: WeightSource {
  private let hub: HubModel
  /// Parameter and expert of every array.
  private let places: [String: (parameter: Parameter, expert: Int?)]
  let arrays: [(name: String, shape: [Int])]

  /// - Throws: `DataError` or `WeightsError` for a folder that is incomplete or of a model that is not known.
  init(_ hub: HubModel) throws {
    self.hub = hub
    // A model whose memory nobody touches: its parameters say which arrays there are.
    let parameters = try hub.model.makeModel(seed: nil, engine: Engine(threads: 1)).parameters
    try hub.requireTensors(of: parameters)
    var places: [String: (parameter: Parameter, expert: Int?)] = [:]
    var arrays: [(name: String, shape: [Int])] = []
    for parameter in parameters {
      for (expert, piece) in CheckpointLayout.pieces(of: parameter).enumerated() {
        places[piece.name] = (parameter, piece.isExpert ? expert : nil)
        arrays.append((piece.name, piece.shape))
      }
    }
    self.places = places
    self.arrays = arrays
  }

  var path: String { hub.folder }
  var files: [String] { hub.files }
  var model: ModelConfig { hub.model }
  var classes: [String]? { hub.classes }

  func tokenizer() throws -> (any Tokenizer)? { try hub.tokenizer() }

  func floats(_ name: String) throws -> [Float] {
    guard let (parameter, expert) = places[name] else { preconditionFailure("no array \(name)") }
    let shape = expert == nil ? parameter.shape : Array(parameter.shape.dropFirst())
    let count = shape.reduce(1, *)
    return try [Float](unsafeUninitializedCapacity: count) { buffer, filled in
      if let start = buffer.baseAddress {
        try hub.read(parameter.path, experts: expert.map { $0..<$0 + 1 } ?? 0..<0, shape: shape, into: start)
      }
      filled = count
    }
  }
}
