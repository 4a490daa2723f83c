import MMoEConfig
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETensor

/// Which numbers of a model are trained, and with what factor on the learning rate. Parts are whole pieces of checkpoints, so
/// that no matrix is cut.
package struct UpdatePlan {
  /// A part of a parameter that is trained.
  package struct Part: Equatable {
    package let range: Range<Int>
    package let factor: Double
  }

  /// Of every parameter, in order; none where it is frozen.
  package let parts: [[Part]]
  /// What nobody froze but no loss reaches: it keeps its value too.
  package let unreached: [UnreachedParameters]

  /// Everything at one rate.
  package init(_ parameters: [Parameter]) {
    parts = parameters.map { [Part(range: 0..<$0.count, factor: 1)] }
    unreached = []
  }

  /// The plan of a run.
  ///
  /// - Throws: `TrainError` for a place that matches nothing, or where nothing is left to train.
  package init(_ config: RunConfig, _ model: any TrainableModel) throws {
    try self.init(
      config.finetune, model.parameters, stacks: config.model.stacks,
      unreached: model.unreached(by: config.trainedTasks))
  }

  /// - Parameters:
  ///   - stacks: blocks of the model, `ModelConfig.stacks`.
  ///   - unreached: what no loss of the run reaches.
  /// - Throws: `TrainError` for a place that matches nothing, or where nothing is left to train.
  package init(
    _ config: FineTuneConfig, _ parameters: [Parameter], stacks: [Int], unreached: [UnreachedParameters] = []
  ) throws {
    let factors = try config.factors()
    let pieces = parameters.flatMap { parameter in
      CheckpointLayout.pieces(of: parameter, allExperts: true).map { (parameter, $0.name) }
    }
    let unmatched = (config.freeze + config.trainOnly + factors.map(\.place)).first { text in
      let place = ParameterPlace(text)
      return !pieces.contains { place.contains($0, $1) }
    }
    if let place = unmatched {
      throw TrainError(
        "finetune", found: "'\(place)' matches no parameter",
        expected: "a pattern such as blocks.*.attention.* or one of \(FineTuneConfig.words) that the model has",
        remedy: "`mmoe checkpoint list` shows the paths")
    }
    let freeze = config.freeze.map(ParameterPlace.init)
    var only = config.trainOnly.map(ParameterPlace.init)
    // Adapters are trained in place of the weights.
    if parameters.contains(where: { $0.adapter != nil }) { only.append(.pattern(PathPattern("*.lora_*"))) }
    let rates = factors.map { (place: ParameterPlace($0.place), factor: $0.factor) }
    let idle = Set(unreached.flatMap(\.parameters).map { ObjectIdentifier($0) })
    func isFrozen(_ parameter: Parameter, _ name: String) -> Bool {
      freeze.contains { $0.contains(parameter, name) }
        || (!only.isEmpty && !only.contains { $0.contains(parameter, name) })
    }
    try UpdatePlan.requireSameArrays(parameters, isFrozen)
    parts = parameters.map { parameter in
      var parts: [Part] = []
      guard !idle.contains(ObjectIdentifier(parameter)) else { return parts }
      for piece in CheckpointLayout.pieces(of: parameter) {
        let name = piece.name
        guard !isFrozen(parameter, name) else { continue }
        var factor = UpdatePlan.layerFactor(parameter, decay: config.layerDecay, stacks: stacks)
        if let rate = rates.first(where: { $0.place.contains(parameter, name) }) { factor *= rate.factor }
        let range = piece.offset..<piece.offset + piece.count
        if let last = parts.last, last.range.upperBound == range.lowerBound, last.factor == factor {
          parts[parts.count - 1] = Part(range: last.range.lowerBound..<range.upperBound, factor: factor)
        } else {
          parts.append(Part(range: range, factor: factor))
        }
      }
      return parts
    }
    self.unreached = unreached
    guard parts.contains(where: { !$0.isEmpty }) else {
      let reasons = unreached.map { "; \($0.reason), so nothing trains \($0.parameters[0].path)" }.joined()
      throw TrainError(
        "finetune", found: "nothing is left to train",
        remedy: "freeze less (finetune.freeze, finetune.train_only)\(reasons)")
    }
  }

  /// Ranks exchange and save what the optimizer keeps array by array, so every rank must train some of a stack, or none.
  ///
  /// - Throws: `TrainError` where experts of some ranks are trained and all those of another are not.
  private static func requireSameArrays(
    _ parameters: [Parameter], _ isFrozen: (Parameter, String) -> Bool
  ) throws {
    for parameter in parameters {
      guard let share = parameter.experts, share.local.count < share.stack.count else { continue }
      let trained = CheckpointLayout.pieces(of: parameter, allExperts: true).map { !isFrozen(parameter, $0.name) }
      let ranks = stride(from: 0, to: share.total, by: share.local.count).map { first in
        trained[first..<min(first + share.local.count, share.total)].contains(true)
      }
      guard Set(ranks).count > 1 else { continue }
      throw TrainError(
        "finetune", field: parameter.path,
        found: "trained for some ranks' experts and frozen for all \(share.local.count) of another rank",
        expected: "some trained on each rank, or none",
        remedy: "freeze other experts, or start fewer ranks in an expert group (--expert-parallel)")
    }
  }

  /// Whether anything keeps its value.
  func freezes(_ parameters: [Parameter]) -> Bool { trained < parameters.reduce(0) { $0 + $1.count } }

  /// Numbers that are trained.
  package var trained: Int { parts.joined().reduce(0) { $0 + $1.range.count } }

  /// The embeddings are layer 0, a stack's block i is layer i + 1, all after the blocks is the last.
  private static func layerFactor(_ parameter: Parameter, decay: Double, stacks: [Int]) -> Double {
    guard decay < 1 else { return 1 }
    let words = parameter.path.split(separator: ".")
    var (block, layers) = (words[0] == "blocks" ? Int(words[1]) ?? 0 : 0, stacks[0])
    for stack in stacks.dropFirst() where block >= layers { (block, layers) = (block - layers, stack) }
    let layer = words[0] == "blocks" ? block + 1 : parameter.role == .embeddings ? 0 : layers + 1
    return (0..<layers + 1 - layer).reduce(1) { factor, _ in factor * decay }
  }
}

// MARK: What a step trains

extension UpdatePlan {
  /// What a user should know of it: how much is frozen, and every setting that leaves parameters without a loss; nothing
  /// where all is trained.
  func lines(_ parameters: [Parameter]) -> [String] {
    guard freezes(parameters) else { return [] }
    let all = parameters.reduce(0) { $0 + $1.count }
    let first =
      "training \(HumanFormat.count(trained)) of \(HumanFormat.count(all)) parameters, the others are frozen"
    return [first]
      + unreached.map { group in
        let paths = group.parameters.map(\.path)
        let names = paths.prefix(3).joined(separator: ", ") + (paths.count > 3 ? " and \(paths.count - 3) more" : "")
        return "frozen: \(names), since \(group.reason)"
      }
  }

  /// Checks after the backward pass that every trained parameter has a gradient: that some operation on which the loss
  /// depends reads it. Not that the gradient is other than zero: an expert may be without tokens, and a batch without
  /// labels.
  ///
  /// - Throws: `TrainError` naming the first parameter that no operation reaches.
  static func requireReached(_ parameters: [Parameter], step: Int) throws {
    guard let lost = parameters.first(where: { !$0.isFrozen && !$0.hasGradient }) else { return }
    throw TrainError(
      "step \(step + 1): \(lost.path) is to be trained, but the loss depends on no operation that reads it; freeze it (finetune.freeze=\(lost.path)), or raise the weight of the objective that it serves"
    )
  }

  /// Checks that an adapter's A can change: while B is 0, A has a gradient of 0.
  ///
  /// - Throws: `TrainError` naming an adapter whose B is frozen at 0.
  static func requireEffect(_ parameters: [Parameter]) throws {
    let dead = parameters.first { parameter in
      guard let adapter = parameter.adapter, adapter.b.isFrozen, !adapter.a.isFrozen else { return false }
      return adapter.b.value.values.allSatisfy { $0 == 0 }
    }
    guard let adapter = dead?.adapter else { return }
    throw TrainError(
      "finetune",
      found:
        "\(adapter.a.path) is to be trained, but its gradient is 0 as long as \(adapter.b.path) is, which is 0 and frozen",
      remedy: "train both or freeze both")
  }
}
