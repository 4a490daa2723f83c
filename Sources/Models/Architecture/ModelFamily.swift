import MMoETensor

/// What depends on a model's kind beyond its configuration: the model itself, its operations and a step to measure. A kind is
/// one conformer and one line in `ModelConfig.family`'s table.
package protocol ModelFamily {
  static var kind: ModelKind { get }
  /// - Parameters:
  ///   - seed: of the random weights; nil leaves them unset.
  ///   - describes: parameters are shapes alone, without memory; no pass may run.
  /// - Throws: `ModelError` for an impossible configuration.
  static func make(_ config: ModelConfig, seed: UInt64?, engine: Engine, describes: Bool) throws -> any TrainableModel
  /// Adds the model's operations to a walk, in the order of the network.
  /// - Throws: `ModelError` for an unknown variant.
  static func add(_ config: ModelConfig, to walk: inout ArchitectureWalk) throws
  /// A model, and what runs it with its loss on samples of random numbers.
  /// - Throws: `ModelError` for an impossible configuration.
  static func randomStep(
    _ config: ModelConfig, batch: Int, engine: Engine
  ) throws -> (model: any TrainableModel, forward: (ForwardPass) -> Void)
}

extension ModelConfig {
  /// What makes models of this kind.
  package var family: any ModelFamily.Type {
    let all: [any ModelFamily.Type] = [ImageFamily.self, TextFamily.self, FusionFamily.self]
    guard let family = all.first(where: { $0.kind == kind }) else {
      preconditionFailure("no family of \(kind.rawValue)")
    }
    return family
  }

  /// The model of this kind.
  ///
  /// - Parameters:
  ///   - seed: of the random weights; nil leaves them unset.
  ///   - describes: parameters are shapes alone, without memory; no pass may run.
  /// - Throws: `ModelError` for an impossible configuration.
  public func makeModel(seed: UInt64?, engine: Engine, describes: Bool = false) throws -> any TrainableModel {
    try family.make(self, seed: seed, engine: engine, describes: describes)
  }
}

extension ArchitectureWalk {
  /// A stack of blocks of the configuration's variant, and the norm after it.
  ///
  /// - Throws: `ModelError` for an unknown variant.
  mutating func addBlocks(
    _ config: ModelConfig, first: Int = 0, cross: (blocks: Int, rows: Int, width: Int)? = nil
  ) throws {
    let variant = config.moe.variant == "dense" ? nil : try MoEVariant.resolve(config.moe)
    addStack(config, variant, first: first, cross: cross)
    add(.norm(config, rows: config.tokens, keeps: true))
  }

  mutating func add(_ operations: [ModelOperation]) {
    for operation in operations { add(operation) }
  }
}
