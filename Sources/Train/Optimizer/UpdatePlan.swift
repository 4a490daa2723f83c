import MMoETensor

/// Which numbers of a model are trained, and with what factor on the learning rate.
public struct UpdatePlan {
  /// A part of a parameter that is trained.
  struct Part: Equatable {
    let range: Range<Int>
    let factor: Double
  }

  /// Of every parameter, in order; none where it is frozen.
  let parts: [[Part]]

  /// Everything at one rate.
  init(_ parameters: [Parameter]) {
    parts = parameters.map { [Part(range: 0..<$0.count, factor: 1)] }
  }

  /// - Parameter stacks: blocks of the model, `ModelConfig.stacks`.
  /// - Throws: `TrainError` for a place that matches nothing, or where nothing is left to train.
  init(_ config: FineTuneConfig, _ parameters: [Parameter], stacks: [Int]) throws {
    let factors = try config.factors()
    var unmatched = Set(config.freeze + config.trainOnly + factors.map(\.place))
    let paths = parameters.flatMap { CheckpointLayout.pieces(of: $0, allExperts: true).map(\.name) }
    unmatched = unmatched.filter { place in
      !FineTuneConfig.patterns(place).contains { pattern in paths.contains(where: pattern.matches) }
    }
    if let place = unmatched.sorted().first {
      throw TrainError(
        "finetune: '\(place)' matches no parameter, expected a pattern such as blocks.*.attention.* or one of \(FineTuneConfig.words.map(\.word).joined(separator: ", ")); `mmoe checkpoint list` shows the paths"
      )
    }
    let freeze = config.freeze.flatMap(FineTuneConfig.patterns)
    var only = config.trainOnly.flatMap(FineTuneConfig.patterns)
    // Adapters are trained in place of the weights.
    if parameters.contains(where: { $0.adapter != nil }) { only.append(PathPattern("*.lora_*")) }
    let rates = factors.map { (patterns: FineTuneConfig.patterns($0.place), factor: $0.factor) }
    parts = parameters.map { parameter in
      var parts: [Part] = []
      for piece in CheckpointLayout.pieces(of: parameter) {
        let name = piece.name
        let isFrozen =
          freeze.contains { $0.matches(name) } || (!only.isEmpty && !only.contains { $0.matches(name) })
        guard !isFrozen else { continue }
        var factor = UpdatePlan.layerFactor(name, decay: config.layerDecay, stacks: stacks)
        if let rate = rates.first(where: { $0.patterns.contains { $0.matches(name) } }) { factor *= rate.factor }
        let range = piece.offset..<piece.offset + piece.count
        if let last = parts.last, last.range.upperBound == range.lowerBound, last.factor == factor {
          parts[parts.count - 1] = Part(range: last.range.lowerBound..<range.upperBound, factor: factor)
        } else {
          parts.append(Part(range: range, factor: factor))
        }
      }
      return parts
    }
    guard parts.contains(where: { !$0.isEmpty }) else {
      throw TrainError("finetune: nothing is left to train; freeze less (finetune.freeze, finetune.train_only)")
    }
  }

  /// Whether anything keeps its value.
  func freezes(_ parameters: [Parameter]) -> Bool { trained < parameters.reduce(0) { $0 + $1.count } }

  /// Numbers that are trained.
  var trained: Int { parts.joined().reduce(0) { $0 + $1.range.count } }

  /// The embeddings are layer 0, a stack's block i is layer i + 1, all after the blocks is the last.
  private static func layerFactor(_ path: String, decay: Double, stacks: [Int]) -> Double {
    guard decay < 1 else { return 1 }
    let words = path.split(separator: ".")
    let isEmbedding = words[0].hasSuffix("embedding") || words[0].hasSuffix("positions") || words[0] == "class_token"
    var (block, layers) = (words[0] == "blocks" ? Int(words[1]) ?? 0 : 0, stacks[0])
    for stack in stacks.dropFirst() where block >= layers { (block, layers) = (block - layers, stack) }
    let layer = words[0] == "blocks" ? block + 1 : isEmbedding ? 0 : layers + 1
    return (0..<layers + 1 - layer).reduce(1) { factor, _ in factor * decay }
  }
}
