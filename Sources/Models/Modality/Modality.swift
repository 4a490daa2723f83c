import MMoETensor

/// A kind of input of a model: its samples, and how they become rows that blocks read.
///
/// A modality is one folder, and one line in `ModalityTable` or one registration. Fusion, groups of experts, balance, costs,
/// captions, comparison and analyses go through the list of a model's modalities (`ModelConfig.modalities`).
public protocol Modality: Sendable {
  /// What `fusion.modalities`, `moe.groups` and analyses call it, such as `vision`.
  var name: String { get }
  /// What one of its samples is called in paths of parameters, metrics and files of pairs, such as `image`.
  var sample: String { get }
  /// Its keys in a configuration.
  var settings: [ModalitySetting] { get }
  /// The kind of model that has it alone, from which one of several modalities can start; nil = none.
  var single: SingleModel? { get }

  /// Rows of a sample among those that blocks read; of a text the most.
  func rows(_ config: ModelConfig) -> Int
  /// Checks its part of the configuration of a model that has it.
  /// - Throws: `ModelError` naming the first impossible field.
  func validate(_ config: ModelConfig) throws
  /// Gives its tower in late fusion the sizes that are its own.
  func shape(tower: inout ModelConfig, of config: ModelConfig)
}

extension Modality {
  public var settings: [ModalitySetting] { [] }
  public var single: SingleModel? { nil }
  public func validate(_ config: ModelConfig) throws {}
  public func shape(tower: inout ModelConfig, of config: ModelConfig) {}
}

/// A modality whose samples have a fixed shape and come as numbers, such as images: all but text.
public protocol SampledModality: Modality {
  /// The head that names a sample's class, where it has one; a path of parameters.
  var classHead: String? { get }

  /// Of one sample, such as `[channels, height, width]`.
  func shape(_ config: ModelConfig) -> [Int]
  /// What stands for a sample where it is compared or classified.
  func pooling(_ config: ModelConfig) -> RowPooling
  /// Of the head.
  func classes(_ config: ModelConfig) -> Int
  /// - Parameter config: of the model, or of the modality's tower.
  /// - Throws: `ModelError` for parameters that the store refuses.
  func makeEncoder(_ store: ParameterStore, _ config: ModelConfig) throws -> any SampleEncoder
  /// What the encoder does with one sample, for costs and profiles.
  func operations(_ config: ModelConfig) -> [ModelOperation]
}

extension SampledModality {
  public var classHead: String? { nil }
  public func pooling(_ config: ModelConfig) -> RowPooling { .mean }
  public func classes(_ config: ModelConfig) -> Int { 0 }
}

extension SampledModality {
  /// - Throws: `ModelError` for sizes that no sample has.
  func requireSizes(_ config: ModelConfig) throws {
    guard rows(config) >= 1, classes(config) >= 0, !shape(config).isEmpty, shape(config).allSatisfy({ $0 >= 1 }) else {
      throw ModelError(
        field: "a sample of the modality \(name)", found: "of shape \(shape(config)) in \(rows(config)) rows",
        expected: "axes and rows of at least 1")
    }
  }
}

extension SampleEncoder {
  /// Samples' rows `[n · rows, width]`. What an encoder from outside of the package does wrong is noted on the tape; whoever began
  /// the pass throws it.
  func encode(_ samples: Tensor, rows: Int, width: Int, _ tape: Tape) -> Tensor {
    let shape = [samples.shape[0] * rows, width]
    do {
      let result = try self(samples, tape)
      guard result.shape == shape else {
        throw ModelError(
          field: "what an encoder made of samples", found: "of shape \(result.shape)", expected: "\(shape)")
      }
      return result
    } catch {
      tape.fail(error)
      return Tensor(repeating: .nan, shape: shape)
    }
  }
}

/// Which of a sample's rows stands for it.
public enum RowPooling: Sendable {
  case mean, first
}

/// A model of one modality as the beginning of one of several.
public struct SingleModel: Sendable {
  public let kind: ModelKind
  /// What its arrays before and after the blocks are called in a model of several, by their own names; the last norm apart.
  public let arrays: [String: String]
  /// Copies its modality's part of the configuration.
  public let adopt: @Sendable (_ config: inout ModelConfig, _ single: ModelConfig) -> Void

  public init(
    _ kind: ModelKind, arrays: [String: String],
    adopt: @escaping @Sendable (_ config: inout ModelConfig, _ single: ModelConfig) -> Void
  ) {
    (self.kind, self.arrays, self.adopt) = (kind, arrays, adopt)
  }
}
