import Foundation
import MMoEConfig
import MMoEFiles
import MMoEReport
import MMoETrain

/// A study: variants of one configuration, each trained with several seeds. Seeds decide initialization and the order of
/// the data, which is therefore the same for all variants of a seed.
///
///     task: lm
///     preset: gpt-toy
///     seeds: 3
///     baseline: top2
///     learning_rates: [1.0e-3, 2.0e-3]     # tried with each variant first; without it the preset's
///     search: {steps: 300, seed: 1000}
///     metrics: [perplexity]                # columns of the table; without it all that were measured
///     settings: {train.steps: 600}         # of all
///     variants:
///       top2: {moe.variant: top2, seeds: 8}
///       scmoe: {moe.variant: scmoe, baseline: top2}
///       from-text: {init_from: checkpoints/text, map: "blocks.*.moe.experts.* = blocks.*.moe.experts.*"}
struct StudyPlan: Sendable {
  struct Variant: Sendable {
    let name: String
    var seeds: [Int]
    /// What it is compared with; nil for the baseline itself.
    var baseline: String?
    /// Where its runs start from, and by which rules: `--init-from` and `--map`.
    var initFrom: [String]
    var map: [String]
    /// The whole configuration, but for seed and learning rate.
    var config: RunConfig
  }

  let file: String
  /// The file's name without `.yaml`.
  let name: String
  let task: TaskKind
  let preset: String
  let data: String?
  private(set) var variants: [Variant]
  /// Empty: every variant has its configuration's.
  let learningRates: [Double]
  /// Nil: as long as a run.
  let searchSteps: Int?
  let searchSeed: Int
  /// Of the intervals, such as 0.95.
  let confidence: Double
  /// The metrics that a table shows beside what is compared; nil: all.
  let metrics: [String]?
  /// What variants are compared by: the validation loss, or one of the task's metrics.
  private(set) var measure = MetricName.validationLoss

  /// All seeds, ascending.
  var seeds: [Int] { Set(variants.flatMap(\.seeds)).sorted() }

  /// Makes one variant the baseline of all others.
  ///
  /// - Throws: `StudyError` when there is none of the name.
  mutating func compareAll(with name: String) throws {
    guard variants.contains(where: { $0.name == name }) else {
      throw StudyError("--against \(name): no such variant in \(file); expected \(alternatives(variants.map(\.name)))")
    }
    for index in variants.indices { variants[index].baseline = variants[index].name == name ? nil : name }
  }

  /// Compares by a metric instead of the validation loss.
  ///
  /// - Throws: `StudyError` when finished runs have none of the name.
  mutating func compare(by name: String, _ rows: [StudyRow]) throws {
    let known = [MetricName.validationLoss] + Set(rows.flatMap(\.metrics.keys)).sorted()
    guard known.contains(name) else {
      throw StudyError("--measure \(name): not measured by the runs of \(file); expected \(alternatives(known))")
    }
    measure = name
  }

  /// - Throws: `StudyError` for a metric of the plan that finished runs do not have.
  func requireMetrics(_ rows: [StudyRow]) throws {
    let known = Set(rows.flatMap(\.metrics.keys)).sorted()
    guard !known.isEmpty, let odd = metrics?.first(where: { !known.contains($0) }) else { return }
    throw StudyError("\(file): metrics: '\(odd)' is not measured by its runs; expected some of \(alternatives(known))")
  }

  private static let keys = [
    "description", "task", "preset", "data", "seeds", "baseline", "confidence", "learning_rates", "search.steps",
    "search.seed", "metrics",
  ]

  /// - Throws: `ConfigError` or `StudyError` naming file, line, key, what was found and what was expected.
  init(_ file: String) throws {
    let document = try ConfigDocument(file: file)
    try self.init(document)
  }

  init(_ document: ConfigDocument) throws {
    let fields = StudyFields(document)
    self.file = document.file
    name = FilePath.stem(of: document.file)
    task = try TaskKind(named: try fields.text("task") ?? "")
    preset = try fields.text("preset") ?? task.defaultPreset
    data = try fields.text("data")
    confidence = try fields.number("confidence", 0.5...0.9999) ?? 0.95
    let metrics = try fields.texts("metrics")
    self.metrics = metrics.isEmpty ? nil : metrics
    learningRates = try fields.numbers("learning_rates", Double.leastNonzeroMagnitude...1e3)
    searchSteps = try fields.whole("search.steps", 1...Int.max)
    searchSeed = try fields.whole("search.seed", 0...Int.max) ?? 1_000_000
    let seeds = try fields.seeds("seeds") ?? [0, 1, 2]
    let baseline = try fields.text("baseline")

    var common = RunConfig()
    try RunConfig.table.apply(ProjectHome.presets.preset(preset), to: &common)
    let before = common.optimizer
    // A study makes many runs; the last state of each is enough.
    common.checkpoint.keep = 1
    try RunConfig.table.apply(fields.group("settings"), of: document.file, to: &common)
    try common.forgetSettings(of: before)

    var variants: [Variant] = []
    for name in fields.variantNames {
      let own = "variants.\(name)."
      guard !name.isEmpty, name.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "+") })
      else {
        throw fields.refuse("variants", "the name '\(name)'", "letters, digits, - and +")
      }
      var config = common
      let settings = fields.group("variants.\(name)").filter {
        !["seeds", "baseline", "init_from", "map"].contains($0.key)
      }
      try RunConfig.table.apply(settings, of: document.file, to: &config)
      try config.forgetSettings(of: common.optimizer)
      for key in ["seed", "optimizer.lr"] where settings.contains(where: { $0.key == key }) {
        if key == "seed" || !learningRates.isEmpty {
          throw fields.refuse(own + key, "a value", "none: the study decides it")
        }
      }
      do {
        try config.validate()
        try task.requireModel(config, preset: preset)
        try config.requireUsed { [preset] key in
          let setting = document.settings.last { $0.key.hasSuffix("." + key) }
          return setting.map { "\(document.file):\($0.line)" } ?? "preset \(preset)"
        }
        try config.requirePlaces()
      } catch {
        throw StudyError("\(document.file)", found: "variant \(name): \(error)")
      }
      variants.append(
        Variant(
          name: name, seeds: try fields.seeds(own + "seeds") ?? seeds,
          baseline: try fields.text(own + "baseline") ?? baseline, initFrom: try fields.texts(own + "init_from"),
          map: try fields.texts(own + "map"), config: config))
    }
    guard !variants.isEmpty else { throw fields.refuse("variants", "none", "at least one") }
    for index in variants.indices {
      guard let name = variants[index].baseline else { continue }
      guard let other = variants.first(where: { $0.name == name }) else {
        throw fields.refuse(
          "baseline", "'\(name)'", alternatives(variants.map(\.name)))
      }
      if other.name == variants[index].name {
        variants[index].baseline = nil
      } else if Set(other.seeds).isDisjoint(with: variants[index].seeds) {
        throw fields.refuse(
          "variants.\(variants[index].name).seeds", "\(variants[index].seeds)",
          "some of the baseline \(name), \(other.seeds): differences are paired by seed")
      }
    }
    self.variants = variants
    try fields.requireKnown(StudyPlan.keys)
    guard seeds.isEmpty == false, !self.seeds.contains(searchSeed) || learningRates.isEmpty else {
      throw fields.refuse("search.seed", "\(searchSeed)", "another than the study's seeds, \(self.seeds)")
    }
  }
}

/// The keys of a study's file.
struct StudyFields {
  private let document: ConfigDocument

  init(_ document: ConfigDocument) { self.document = document }

  /// The variants in the order of the file.
  var variantNames: [String] {
    var names: [String] = []
    for setting in document.settings where setting.key.hasPrefix("variants.") {
      let name = String(setting.key.dropFirst(9).prefix { $0 != "." })
      if !names.contains(name) { names.append(name) }
    }
    return names
  }

  /// The settings below a key, without it; a variant with none has an empty value.
  func group(_ name: String) -> [ConfigDocument.Setting] {
    document.settings.filter { $0.key.hasPrefix(name + ".") }.map {
      ConfigDocument.Setting(key: String($0.key.dropFirst(name.count + 1)), value: $0.value, line: $0.line)
    }
  }

  func refuse(_ key: String, _ found: String, _ expected: String) -> ConfigError {
    let line = document.settings.first { $0.key == key }.map { ":\($0.line)" } ?? ""
    return ConfigError("\(document.file)\(line): \(key): expected \(expected), found \(found)")
  }

  private func value(_ key: String) -> ConfigInput? { document.settings.first { $0.key == key }?.value }

  func text(_ key: String) throws -> String? {
    guard let value = value(key) else { return nil }
    guard case .scalar(let text, _) = value, !text.isEmpty else { throw refuse(key, value.found, "a text") }
    return text
  }

  /// A text, or a list of them; none where there is nothing.
  func texts(_ key: String) throws -> [String] {
    guard case .list(let items)? = value(key) else { return try text(key).map { [$0] } ?? [] }
    return try items.map {
      guard case .scalar(let text, _) = $0, !text.isEmpty else { throw refuse(key, $0.found, "a text") }
      return text
    }
  }

  func number(_ key: String, _ range: ClosedRange<Double>) throws -> Double? {
    guard let value = value(key) else { return nil }
    return try number(value, key, range)
  }

  func whole(_ key: String, _ range: ClosedRange<Int>) throws -> Int? {
    guard let value = value(key) else { return nil }
    guard case .scalar(let text, _) = value, let number = Int(text), range.contains(number) else {
      throw refuse(key, value.found, "a whole number from \(range.lowerBound)")
    }
    return number
  }

  func numbers(_ key: String, _ range: ClosedRange<Double>) throws -> [Double] {
    guard let value = value(key) else { return [] }
    guard case .list(let items) = value, !items.isEmpty else {
      throw refuse(key, value.found, "a list of numbers")
    }
    return try items.map { try number($0, key, range) }
  }

  /// `8` stands for 0 to 7, a list for itself.
  func seeds(_ key: String) throws -> [Int]? {
    guard let value = value(key) else { return nil }
    switch value {
    case .scalar(let text, _):
      if let count = Int(text), 1...1000 ~= count { return Array(0..<count) }
    case .list(let items):
      let seeds = items.compactMap { item -> Int? in
        guard case .scalar(let text, _) = item, let seed = Int(text), seed >= 0 else { return nil }
        return seed
      }
      if seeds.count == items.count, !seeds.isEmpty, Set(seeds).count == seeds.count { return seeds.sorted() }
    default: break
    }
    throw refuse(key, value.found, "a number of seeds from 1 to 1000, or a list of different ones")
  }

  func requireKnown(_ keys: [String]) throws {
    for setting in document.settings where !keys.contains(setting.key) {
      if setting.key.hasPrefix("variants.") || setting.key.hasPrefix("settings.") { continue }
      throw refuse(
        setting.key, "this unknown key", alternatives(keys + ["settings", "variants"]))
    }
  }

  private func number(_ value: ConfigInput, _ key: String, _ range: ClosedRange<Double>) throws -> Double {
    guard case .scalar(let text, _) = value, let number = Double(text), range.contains(number) else {
      throw refuse(key, value.found, "a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }
}
