import MMoEFiles

extension ModelConfig {
  /// Checks all that can be known before data is seen.
  /// - Throws: `ModelError` naming the first impossible field.
  public func validate() throws {
    func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
      if !condition { throw ModelError(message()) }
    }
    try require(layers >= 1, "model.layers is \(layers); at least 1 is needed")
    try require(
      heads >= 1 && width % heads == 0,
      "model.heads is \(heads), which does not divide model.width \(width); choose a divisor")
    try require(
      heads % keyValueHeads == 0,
      "model.kv_heads is \(kvHeads), which does not divide model.heads \(heads); choose a divisor")
    try require(
      stochasticDepth >= 0 && stochasticDepth < 1,
      "model.stochastic_depth is \(stochasticDepth); it must be at least 0 and below 1")
    if kind.readsImages {
      try require(
        vision.patch >= 1 && vision.image % vision.patch == 0,
        "model.patch is \(vision.patch), which does not divide model.image \(vision.image); choose a divisor")
      try require(
        vision.classes >= (kind == .multimodal ? 0 : 1), "model.classes is \(vision.classes); at least 1 is needed")
    }
    if kind.readsText {
      try require(text.vocabulary >= 1, "model.vocabulary is \(text.vocabulary); at least 1 is needed")
      try require(text.context >= 1, "model.context is \(text.context); at least 1 is needed")
      try require(
        text.positions == .learned || headWidth % 2 == 0,
        "model.positions is rotary, which turns pairs, but a head is \(headWidth) wide; choose model.heads so that model.width / model.heads is even"
      )
    }
    if kind == .multimodal { try validateModalities() }
    if kind == .multimodal, fusion.kind == .late { return try validateTowers() }
    if kind == .multimodal {
      try require(
        text.positions == .learned && !vision.classToken,
        "model.kind is multimodal, which has learned positions and no class token; set model.positions=learned and model.class_token=false, or fusion.kind=late"
      )
    }
    try require(
      !vision.preNorm, "model.pre_norm is true, which only an image tower has; use fusion.kind=late")
    try validateMoE()
  }

  private func validateMoE() throws {
    func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
      if !condition { throw ModelError(message()) }
    }
    let modalities = kind == .multimodal ? fusion.modalities : []
    try require(
      !moe.taskRouting || kind == .multimodal,
      "moe.task_routing is true, but model.kind \(kind.rawValue) has one task; use model.kind=multimodal")
    try require(
      !modalities.isEmpty || moe.groups == nil,
      "moe.groups is \(moe.groups ?? ""), but model.kind \(kind.rawValue) has one modality; use model.kind=multimodal")
    try require(
      moe.gate == .shared || !modalities.isEmpty,
      "moe.gate is \(moe.gate.rawValue), but model.kind \(kind.rawValue) has one modality; use moe.gate=shared")
    guard moe.variant != "dense" else { return }
    let variant = try MoEVariant.resolve(moe)
    try require(moe.experts >= 1, "moe.experts is \(moe.experts); at least 1 is needed")
    try require(moe.every >= 1, "moe.every is \(moe.every); at least 1 is needed")
    try require(
      moe.every <= layers,
      "moe.every is \(moe.every), more than model.layers \(layers): no block would have experts; lower it or use moe.variant=dense"
    )
    if let text = moe.groups {
      let groups = try ExpertGroups(text)
      try require(
        groups.count == moe.experts,
        "moe.groups \(text) has \(groups.count) experts, moe.experts is \(moe.experts); set moe.experts=\(groups.count)"
      )
      for route in variant.routes {
        try groups.require(modalities, choices: route.k + (route.avoidsPreviousRoute ? 1 : 0))
      }
    }
    try require(
      moe.firstBlock < layers,
      "moe.first is \(moe.first), but model.layers is \(layers): no block would have experts; use at most \(layers - 1)"
    )
    let layersWithExperts = (0..<layers).count { isMoE($0) }
    try require(
      moe.bankLayers >= 1 && moe.bankLayers <= layersWithExperts,
      "moe.bank_layers is \(moe.bankLayers), but \(layersWithExperts) blocks have experts; use 1 to \(layersWithExperts)"
    )
    try require(
      !variant.routes.isEmpty && variant.routes.count <= 8
        && Set(variant.routes.map(\.source)).count == variant.routes.count,
      "moe.sources is \(moe.sources.map(\.description)); give 1 to 8 different sources, such as 1:attention")
    for route in variant.routes {
      let free = moe.choices - (route.avoidsPreviousRoute ? 1 : 0)
      try require(
        route.k <= free,
        "moe.variant \(moe.variant) chooses \(route.k) of \(free) experts; raise moe.experts (now \(moe.experts))"
      )
      let back = route.source.blocksBack
      try require(
        route.source.exists(before: moe.firstBlock),
        "moe.variant \(moe.variant) routes from \(route.source) (blocks back:site), which the first MoE block (\(moe.firstBlock)) does not have; use moe.first=\(route.source.site == .output ? back - 1 : back) or higher"
      )
    }
    try require(
      moe.combine == .add || variant.sharedExpert,
      "moe.combine is \(moe.combine.rawValue), but moe.variant \(moe.variant) has no shared expert; use add"
    )
    try RouterTable.router(moe).require(self, variant)
    try RealShareBias.validate(moe)
    try BalanceTable.loss(moe)?.validate(self)
  }

  /// Checks what both towers of late fusion need.
  private func validateTowers() throws {
    func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
      if !condition { throw ModelError(message()) }
    }
    try require(
      text.positions == .learned, "model.positions is \(text.positions.rawValue) with fusion.kind=late; use learned")
    try require(
      moe.gate == .shared,
      "moe.gate is \(moe.gate.rawValue), but with fusion.kind=late every tower has gates of its own; use moe.gate=shared"
    )
    if let groups = try moe.groups.map({ try ExpertGroups($0) }) {
      let extra = groups.groups.first { !fusion.modalities.contains($0.name) }
      try require(
        extra == nil,
        "moe.groups has the group \(extra?.name ?? ""), but with fusion.kind=late no expert stands in both towers; name \(fusion.modalities.joined(separator: " and ")) only"
      )
      try require(
        groups.count == moe.experts,
        "moe.groups has \(groups.count) experts, moe.experts is \(moe.experts); set moe.experts=\(groups.count)")
    }
    try require(
      (0...textTower.layers).contains(fusion.crossBlocks),
      "fusion.cross_blocks is \(fusion.crossBlocks), but the text tower has \(textTower.layers) blocks; use at most as many"
    )
    let others = sampledModalities.map { (sample: $0.sample, width: tower(of: $0).width) }
    if let odd = others.first(where: { $0.width != others[0].width }) {
      try require(
        fusion.crossBlocks == 0,
        "fusion.cross_blocks is \(fusion.crossBlocks), but the \(others[0].sample) tower is \(others[0].width) wide and the \(odd.sample) tower \(odd.width); give them one width or set fusion.cross_blocks=0"
      )
    }
    for modality in towerModalities {
      var tower = tower(of: modality)
      // A tower needs no head of its own.
      (tower.vision.classes, tower.vision.preNorm) = (max(1, tower.vision.classes), false)
      tower.moe.taskRouting = false
      do { try tower.validate() } catch {
        throw ModelError("the \(modality.sample) tower of fusion.kind=late: \(error)")
      }
    }
  }
}
