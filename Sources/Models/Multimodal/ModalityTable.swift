import MMoEFiles

/// Every modality there is.
public enum ModalityTable {
  /// What `fusion.modalities` takes.
  public static let registry = Registry<any Modality>(
    "modality", [VisionModality(), LanguageModality(), AudioModality()])
}

extension Registry where Value == any Modality {
  fileprivate convenience init(_ noun: String, _ modalities: [any Modality]) {
    self.init(noun, modalities.map { ($0.name, $0) })
  }

  /// Adds a modality under its name.
  ///
  /// - Throws: `RegistryError` for a name that is taken, or that could not be written in a configuration.
  public func register(_ modality: any Modality) throws(RegistryError) { try register(modality.name, modality) }
}

extension ModelConfig {
  /// Of a model of several, in the order of `fusion.modalities`.
  public var modalities: [any Modality] { fusion.modalities.compactMap { ModalityTable.registry[$0] } }
  /// All but text.
  public var sampledModalities: [any SampledModality] { modalities.compactMap { $0 as? any SampledModality } }
  /// Whether some samples can have classes.
  public var hasClasses: Bool { sampledModalities.contains { $0.classes(self) > 0 } }

  /// A modality's stack of blocks in late fusion. It has its modality's group of experts as its bank; without groups each has
  /// a bank of all.
  public func tower(of modality: any Modality) -> ModelConfig {
    var tower = self
    tower.kind = modality is any SampledModality ? .vit : .gpt
    (tower.fusion, tower.moe.groups) = (FusionConfig(), nil)
    if let groups = moe.groups.flatMap({ try? ExpertGroups($0) }) {
      let own = groups.groups.first { $0.name == modality.name }
      tower.moe.experts = own?.experts.count ?? 0
      if let hidden = own?.hidden { tower.moe.hidden = hidden }
    }
    modality.shape(tower: &tower, of: self)
    if tower.kind == .vit { tower.towerRows = modality.rows(self) }
    return tower
  }

  /// The same model with text and one other of its modalities alone, for the costs of reading one sample.
  package func reduced(to modality: any SampledModality) -> ModelConfig {
    guard modalities.count > 2 else { return self }
    var model = self
    model.fusion.modalities = [modality.name, LanguageModality.name]
    for other in modalities where other.name != modality.name {
      for setting in other.settings { model.modalitySettings[setting] = setting.standard }
    }
    if let groups = moe.groups.flatMap({ try? ExpertGroups($0) }) {
      let kept = groups.keeping([modality.name, LanguageModality.name, ExpertGroups.shared])
      (model.moe.groups, model.moe.experts) = (kept.description, kept.count)
    }
    return model
  }

  /// The tower of texts, whose blocks are numbered after all others'.
  public var textTower: ModelConfig { tower(of: LanguageModality()) }

  /// The modalities in the order of their towers: texts come last, since they read all others.
  public var towerModalities: [any Modality] { sampledModalities + [LanguageModality()] }

  /// The stacks of blocks in the order of their numbers, which go on from one to the next: one for each modality in late
  /// fusion, else one.
  public var towers: [ModelConfig] {
    kind == .multimodal && fusion.kind == .late ? towerModalities.map(tower) : [self]
  }

  /// Blocks of each stack.
  public var stacks: [Int] { towers.map(\.layers) }

  /// The block that the backward pass must have left before a parameter's gradient can be complete, routes between blocks
  /// apart; −1 = only the end of the pass will do. Keys and values of cross-attention are made of the other towers' output
  /// before the text tower begins, and so get their gradient after it.
  public func completingBlock(of path: String) -> Int {
    let parts = path.split(separator: ".")
    guard parts.count > 2, parts[0] == "blocks", let block = Int(parts[1]) else { return -1 }
    return parts[2...].starts(with: ["cross", "key_value"]) ? stacks.dropLast().reduce(0, +) - 1 : block
  }

  /// Checks which modalities a model has, and what each needs.
  ///
  /// - Throws: `ModelError` naming the first impossible field.
  func validateModalities() throws {
    let (names, table) = (fusion.modalities, ModalityTable.registry)
    let listing = "[\(names.joined(separator: ", "))]"
    if let unknown = names.first(where: { table[$0] == nil }) {
      throw ModelError("fusion.modalities has '\(unknown)'; valid are \(table.listing)")
    }
    guard Set(names).count == names.count else {
      throw ModelError("fusion.modalities is \(listing), which names one twice; name each once")
    }
    guard names.contains(LanguageModality.name), !sampledModalities.isEmpty else {
      throw ModelError(
        "fusion.modalities is \(listing); \(LanguageModality.name) and at least one other are needed, such as \(FusionConfig().modalities.joined(separator: ","))"
      )
    }
    for modality in table.values where !names.contains(modality.name) {
      for setting in modality.settings where modalitySettings[setting] != setting.standard {
        throw ModelError(
          "\(setting.key) is \(modalitySettings[setting]), but fusion.modalities \(listing) has no \(modality.name); add it, or set \(setting.key)=\(setting.standard), the default"
        )
      }
    }
    for modality in modalities { try modality.validate(self) }
  }
}
