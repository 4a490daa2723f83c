import MMoEConfig
import MMoEModels
import MMoEReport

/// What `mmoe presets` prints: each preset's shape, size, purpose and measured results.
package struct PresetListing {
  private let loader: PresetLoader

  package init(_ loader: PresetLoader) { self.loader = loader }

  private func input(_ model: ModelConfig) -> String {
    [
      model.kind.readsImages ? "\(model.vision.image) px" : nil,
      model.kind.readsText ? "\(model.text.context) tokens" : nil,
    ].compactMap { $0 }.joined(separator: ", ")
  }

  /// - Throws: `ConfigError` or `ModelError` for a preset that is wrong.
  package func text() throws -> String {
    var table = TextTable(columns: [
      .left("preset"), .right("layers"), .right("width"), .right("input"), .right("experts"),
      .left("variant"), .right("parameters"), .right("active"), .left("purpose"),
    ])
    var results = ""
    for preset in try loader.presets() {
      var config = RunConfig()
      try RunConfig.table.apply(preset, to: &config)
      let costs = try ModelCosts(config.model)
      table.add([
        preset.name, "\(config.model.layers)", "\(config.model.width)", input(config.model),
        "\(config.model.moe.experts)", config.model.moe.variant, HumanFormat.count(costs.parameters),
        HumanFormat.count(costs.activeParameters), preset.description,
      ])
      for result in preset.results {
        results += "\n\(preset.name): \(result.measured)\n  \(result.command)\n  \(result.machine)\n"
      }
    }
    return table.render(for: StandardStream.output) + results
  }
}
