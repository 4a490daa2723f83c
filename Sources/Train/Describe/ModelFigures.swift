import MMoEModels

/// Size, arithmetic and memory of a run, from its configuration alone.
struct ModelFigures {
  let costs: ModelCosts
  /// Samples of a step, and of a micro-batch.
  private let batch: Int
  private let microBatch: Int
  private let kind: ModelKind
  /// Tokens of a sample.
  private let tokens: Int
  /// Whether a capacity or identity experts may leave choices without a product.
  private let countsMost: (forward: Bool, training: Bool)

  /// - Throws: `ModelError` for an impossible configuration.
  init(_ config: RunConfig) throws {
    costs = try ModelCosts(config.model)
    batch = config.data.batch
    microBatch = config.data.batch / config.train.accumulation
    kind = config.model.kind
    tokens = config.model.tokens
    let moe = config.model.moe
    let hasIdentities = moe.variant != "dense" && moe.identityExperts > 0
    let isCapped = { (factor: Double) in moe.variant != "dense" && factor > 0 }
    countsMost = (hasIdentities || isCapped(moe.evalCapacityFactor), hasIdentities || isCapped(moe.capacityFactor))
  }

  /// Weights, gradients and two moments, in bytes.
  var stateBytes: Int { costs.parameters * 16 }
  /// What a recorded forward pass keeps, in bytes; an estimate.
  var activationBytes: Double { costs.activationFloats * Double(microBatch) * 4 }
  var stepFLOPs: Double { costs.trainingFLOPs * Double(batch) }

  func add(to table: inout TextTable) {
    let (unit, units, samples) =
      switch kind {
      case .vit: ("an image", 1.0, "images")
      case .gpt: ("a token", Double(tokens), "windows of \(tokens) tokens")
      case .multimodal: ("a pair", 1.0, "pairs of \(tokens) tokens")
      }
    table.add(["parameters", HumanFormat.grouped(costs.parameters)])
    table.add(["active parameters a token", HumanFormat.grouped(costs.activeParameters)])
    let most = (countsMost.forward ? ", at most" : "", countsMost.training ? ", at most" : "")
    table.add(["FLOPs \(unit), forward" + most.0, HumanFormat.count(costs.forwardFLOPs / units)])
    table.add(["FLOPs a step of \(batch) \(samples)" + most.1, HumanFormat.count(stepFLOPs)])
    table.add(["memory: weights", HumanFormat.bytes(costs.parameters * 4)])
    table.add(["memory: weights, gradients, moments", HumanFormat.bytes(stateBytes)])
    table.add(["memory: activations (estimate)", HumanFormat.bytes(Int(min(activationBytes, 1e18)))])
  }
}
