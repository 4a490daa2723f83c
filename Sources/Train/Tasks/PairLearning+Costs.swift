import MMoEConfig
import MMoEModels

extension PairLearning {
  /// Arithmetic of a step with captions of the mean length, with every kind of samples and alone.
  static func flops(_ config: RunConfig, captions: [[Int32]]) throws -> Double {
    var pair = config.model
    pair.text.context = max(1, 1 + captions.reduce(0) { $0 + $1.count } / max(captions.count, 1))
    var text = pair.textTower
    if pair.fusion.kind == .early { text = pair }
    if let groups = try text.moe.groups.map(ExpertGroups.init) {
      // As for other modalities: the widest expert that a token may take.
      let open = groups.groups.filter {
        [LanguageModality.name, ExpertGroups.shared].contains($0.name) && !$0.experts.isEmpty
      }
      text.moe.hidden = open.map { $0.hidden ?? text.expertHidden }.max() ?? text.expertHidden
    }
    (text.kind, text.moe.groups, text.moe.taskRouting, text.moe.gate) = (.gpt, nil, false, .shared)
    if text.moe.balance == "entropy" { text.moe.balance = "none" }
    func step(_ config: ModelConfig) throws -> Double { try ModelCosts(config).trainingFLOPs }
    /// A sample of each of these modalities, with texts of a length.
    func read(_ modalities: [any SampledModality], context: Int) throws -> Double {
      try modalities.reduce(0) { sum, modality in
        var own = pair.reduced(to: modality)
        own.text.context = context
        return try sum + step(own)
      }
    }
    let all = pair.sampledModalities
    let labeled = all.filter { $0.classHead != nil }
    var flops = try read(all, context: pair.text.context) + step(text)
    if config.model.moe.taskRouting {
      // Every task reads for itself what it needs.
      let weights = config.objective
      flops =
        try (weights.caption > 0 ? read(all, context: pair.text.context) : 0)
        + (weights.contrastive > 0 ? read(all, context: 1) + step(text) : 0)
        + (weights.classification > 0 ? read(labeled, context: 1) : 0) + (weights.language > 0 ? step(text) : 0)
    }
    flops *= Double(config.data.batch)
    if config.mixture.images != nil {
      flops += try read([VisionModality()], context: 1) * Double(config.mixture.imageBatch)
    }
    if config.mixture.text != nil {
      text.text.context = config.model.text.context
      flops += try step(text) * Double(config.mixture.textBatch)
    }
    return flops
  }
}
