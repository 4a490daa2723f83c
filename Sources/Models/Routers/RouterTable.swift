import MMoEFiles

/// Every router there is.
public enum RouterTable {
  private static let registry: Registry<any Router.Type> = {
    let types: [any Router.Type] = [
      SoftmaxRouter.self, SigmoidRouter.self, ExpertChoiceRouter.self, UniformRouter.self,
    ]
    return Registry("router", types.map { ($0.name, $0) })
  }()

  /// Adds a router of one's own, before a configuration that names it is read.
  ///
  /// - Throws: `RegistryError` for a name that is taken or that a configuration cannot have.
  public static func register(_ router: any Router.Type) throws(RegistryError) {
    try registry.register(router.name, router)
  }

  /// What `moe.router` takes.
  package static var names: [String] { registry.names }

  /// The router that a configuration names.
  /// - Throws: `ModelError` for an unknown name.
  package static func router(_ config: MoEConfig) throws -> any Router.Type {
    guard let router = registry[config.router] else {
      throw ModelError("moe.router is '\(config.router)'; valid are \(names.joined(separator: ", "))")
    }
    return router
  }

  /// Rows of experts that one route of a token asks for on average: k, but for routers with another number.
  package static func meanChoices(_ k: Int, _ config: MoEConfig, training: Bool) -> Double {
    let factor = training ? config.capacityFactor : config.evalCapacityFactor
    return (try? router(config))?.meanChoices(k, capacityFactor: factor, experts: config.experts) ?? Double(k)
  }

  /// The routers that have a use for a setting.
  fileprivate static func users(of setting: RouterSetting) -> [String] {
    registry.values.filter { $0.settings.contains(setting) }.map { $0.name }
  }
}

/// A setting that not every router has a use for.
public enum RouterSetting: CaseIterable, Sendable {
  case renormalization, selectionBias, expertGroups, neighborGroups, scale, zLoss, identityExperts, batchPriority,
    exclusion, balance

  /// The key with its value, where the setting is not at its default.
  fileprivate func found(_ moe: MoEConfig, _ variant: MoEVariant) -> (key: String, value: String, off: String)? {
    switch self {
    case .renormalization:
      !moe.renormalize
        ? ("moe.renormalize", "false", "true")
        : moe.renormalizeSingle ? ("moe.renormalize_single", "true", "false") : nil
    case .selectionBias: moe.biasRate > 0 ? ("moe.bias_rate", "\(moe.biasRate)", "0") : nil
    case .expertGroups: moe.groups.map { ("moe.groups", $0, "none") }
    case .neighborGroups:
      moe.groupCount != 1
        ? ("moe.n_group", "\(moe.groupCount)", "1")
        : moe.groupLimit != 1 ? ("moe.topk_group", "\(moe.groupLimit)", "1") : nil
    case .scale: moe.routeScale != 1 ? ("moe.routed_scaling_factor", "\(moe.routeScale)", "1") : nil
    case .zLoss: moe.zLossWeight > 0 ? ("moe.z_loss_weight", "\(moe.zLossWeight)", "0") : nil
    case .identityExperts: moe.identityExperts > 0 ? ("moe.identity_experts", "\(moe.identityExperts)", "0") : nil
    case .batchPriority: moe.batchPriority ? ("moe.batch_priority", "true", "false") : nil
    case .exclusion:
      variant.routes.contains { $0.avoidsPreviousRoute } ? ("moe.constrained", "true", "false") : nil
    case .balance: moe.isBalanced ? ("moe.balance", moe.balance, "none") : nil
    }
  }
}

extension Router {
  /// Checks that a model's settings have a use.
  /// - Throws: `ModelError` naming the first that has none, or that is impossible.
  static func require(_ model: ModelConfig, _ variant: MoEVariant) throws {
    for setting in RouterSetting.allCases where !settings.contains(setting) {
      guard let found = setting.found(model.moe, variant) else { continue }
      let users = RouterTable.users(of: setting).joined(separator: " or ")
      throw ModelError(
        "\(found.key) is \(found.value), which moe.router \(name) does not use; set \(found.key)=\(found.off), or moe.router to \(users)"
      )
    }
    try validate(model, variant)
  }
}
