import MMoEConfig
import MMoEModels
import MMoEReport

/// Size, arithmetic and memory of a run, from its configuration alone.
struct ModelFigures {
  let costs: ModelCosts
  /// Of one rank.
  let memory: RankMemory
  private let division: RunDivision
  /// Samples of a step.
  private let batch: Int
  private let kind: ModelKind
  /// Tokens of a sample.
  private let tokens: Int
  /// Whether a capacity or identity experts may leave choices without a product.
  private let countsMost: (forward: Bool, training: Bool)

  /// - Throws: `ModelError` for an impossible configuration.
  init(_ config: RunConfig, _ division: RunDivision = RunDivision()) throws {
    costs = try ModelCosts(config.model)
    memory = try RankMemory(config, division, costs: costs)
    self.division = division
    batch = config.data.batch
    kind = config.model.kind
    tokens = config.model.tokens
    let moe = config.model.moe
    let hasIdentities = moe.variant != "dense" && moe.identityExperts > 0
    let isCapped = { (factor: Double) in moe.variant != "dense" && factor > 0 }
    countsMost = (hasIdentities || isCapped(moe.evalCapacityFactor), hasIdentities || isCapped(moe.capacityFactor))
  }

  var stepFLOPs: Double { costs.trainingFLOPs * Double(batch) }

  func add(to table: inout TextTable) {
    let (unit, units, samples) =
      switch (kind.readsImages, kind.readsText) {
      case (_, false): ("an image", 1.0, "images")
      case (false, true): ("a token", Double(tokens), "windows of \(tokens) tokens")
      case (true, true): ("a pair", 1.0, "pairs of \(tokens) tokens")
      }
    table.add(["parameters", HumanFormat.grouped(costs.parameters)])
    table.add(["active parameters a token", HumanFormat.grouped(costs.activeParameters)])
    let most = (countsMost.forward ? ", at most" : "", countsMost.training ? ", at most" : "")
    table.add(["FLOPs \(unit), forward" + most.0, HumanFormat.count(costs.forwardFLOPs / units)])
    table.add(["FLOPs a step of \(batch) \(samples)" + most.1, HumanFormat.count(stepFLOPs)])
    let place = division.ranks > 1 ? "memory of each of \(division.ranks) ranks" : "memory"
    func bytes(_ count: Double) -> String { HumanFormat.bytes(Int(min(count, 1e18))) }
    table.add(["\(place): weights", bytes(memory.weights)])
    table.add(["\(place): weights, gradients, moments", bytes(memory.state)])
    table.add(["\(place): activations (estimate)", bytes(memory.activations)])
  }
}
