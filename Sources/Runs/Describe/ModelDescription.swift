import MMoEConfig
import MMoEModels
import MMoEReport
import MMoETensor

/// `mmoe model`: what a model is made of, from its configuration alone.
package struct ModelDescription {
  private let preset: String
  private let config: RunConfig

  /// - Parameter settings: `key=value` on top of the preset.
  /// - Throws: `ConfigError` or `ModelError` for an impossible configuration.
  package init(preset: String, settings: [String]) throws {
    self.preset = preset
    var config = RunConfig()
    try RunConfig.table.apply(ProjectHome.presets.preset(preset), to: &config)
    self.config = try config.applying(settings, for: .description)
  }

  package var moe: MoEConfig { config.model.moe }

  /// The variant table.
  package static func variants() -> String {
    var table = TextTable(columns: [
      .left("variant"), .left("shared"), .left("routes (source, k)"), .left("hides behind"), .left("what it is"),
    ])
    for variant in MoEVariant.all {
      let routes = variant.routes.map { "\($0.source.words) k=\($0.k)\($0.avoidsPreviousRoute ? " not the same" : "")" }
      table.add([
        variant.name, variant.sharedExpert ? "yes" : "–", routes.joined(separator: " + "),
        variant.pairWindows.map { $0.isEmpty ? "nothing" : $0.joined(separator: ", ") }.joined(separator: "; "),
        variant.summary,
      ])
    }
    return table.render(for: StandardStream.output)
  }

  /// Shapes, parameters, arithmetic and memory.
  ///
  /// - Throws: `ModelError` for an impossible configuration.
  package func text() throws -> String {
    let model = config.model
    let shapes = try parameterTable()
    var figures = TextTable(columns: [.left("\(preset), \(model.moe.variant)"), .right("")])
    try ModelFigures(config).add(to: &figures)
    if model.kind == .gpt {
      let cache = try ModelCosts(model).cachedFloats * 4
      figures.add(["memory: keys and values a token of context", HumanFormat.bytes(cache)])
    }
    return shapes + "\n" + figures.render(for: StandardStream.output)
  }

  /// Every form of parameter; instead a line where not even a model of few blocks can be made to look at.
  private func parameterTable() throws -> String {
    // The blocks up to the first with experts, and a dense one, show every form; the rest are copies.
    var small = config.model
    small.layers = min(small.layers, small.moe.variant == "dense" ? 1 : small.moe.firstBlock + 1)
    small.moe.bankLayers = 1
    let (weights, tokens) = (Double(try ModelCosts(small).parameters), Double(small.vision.tokens + small.text.context))
    // Weights, and tables that are computed for them: positions and rotary angles.
    let needed = 4 * weights + 8 * tokens * Double(small.width)
    guard needed <= Double(MemoryLimit.available) else {
      return
        "parameters are not listed: one block of each form needs \(HumanFormat.bytes(Int(min(needed, 1e18)))) of memory, there are \(HumanFormat.bytes(MemoryLimit.available))\n"
    }
    var shapes = TextTable(columns: [.left("parameter"), .left("shape"), .right("blocks"), .right("numbers")])
    for group in try parameterGroups(small) {
      shapes.add([
        group.path, group.shape.map(String.init).joined(separator: " × "), group.blocks == 0 ? "" : "\(group.blocks)",
        HumanFormat.grouped(group.count),
      ])
    }
    return shapes.render(for: StandardStream.output)
  }

  /// Parameters of one form, over all blocks that have them.
  private struct Group {
    let path: String
    let shape: [Int]
    var blocks: Int
    var count: Int
  }

  /// The real model's parameters, from one that is cut to as many blocks as have different forms.
  private func parameterGroups(_ small: ModelConfig) throws -> [Group] {
    var groups: [Group] = []
    let engine = try Engine(threads: 1)
    let parameters = try small.makeModel(seed: nil, engine: engine).parameters
    for parameter in parameters {
      let (path, shape) = (parameter.path, parameter.shape)
      let words = path.split(separator: ".", maxSplits: 2).map(String.init)
      let count = shape.reduce(1, *)
      guard words.count == 3, words[0] == "blocks", let block = Int(words[1]) else {
        groups.append(Group(path: path, shape: shape, blocks: 0, count: count))
        continue
      }
      let name = "blocks.*." + words[2]
      let copies = (0..<config.model.layers).count {
        config.model.isMoE($0) == config.model.isMoE(block)
      }
      guard !groups.contains(where: { $0.path == name && $0.shape == shape }) else { continue }
      // What dense and MoE blocks share stands in all of them.
      let isShared = !words[2].hasPrefix("mlp.") && !words[2].hasPrefix("moe.")
      let isBank = words[2].hasPrefix("moe.experts.")
      let banks = (copies + config.model.moe.bankLayers - 1) / config.model.moe.bankLayers
      let blocks = isShared ? config.model.layers : isBank ? banks : copies
      groups.append(Group(path: name, shape: shape, blocks: blocks, count: count * blocks))
    }
    return groups
  }
}

extension RouteSource {
  /// For people: `preceding state after attention`.
  package var words: String {
    let place =
      switch site {
      case .input: "input"
      case .afterAttention: "state after attention"
      case .output: "output"
      }
    return (blocksBack == 0 ? "current " : blocksBack == 1 ? "preceding " : "\(blocksBack) blocks back: ") + place
  }
}

extension MoEVariant {
  /// What the exchange of each route can hide behind where dense blocks and blocks with experts take turns.
  var pairWindows: [[String]] { Architecture(pairOf: self).lastPair.calls.map { $0.window.map(\.kind.rawValue) } }
}
