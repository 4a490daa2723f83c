import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEReport
import MMoETrain

/// `mmoe data preview`: samples as training shows them, drawn on one sheet.
package struct PreviewSession {
  /// What the command line said; nil where it said nothing.
  package struct Options: Sendable {
    package var task: String?
    package var preset: String?
    /// `-` or nil for the data that comes with the project.
    package var data: String?
    package var settings: [String] = []
    package var out = ""
    /// Samples, a row each.
    package var count = 8
    /// Of each sample.
    package var draws = 7
    package init() {}
  }

  private let options: Options
  private let sinks: CommandSinks

  package init(_ options: Options, _ sinks: CommandSinks = .standard) { (self.options, self.sinks) = (options, sinks) }

  /// Draws the sheet and says what it shows.
  ///
  /// - Throws: the first thing that is wrong, in one line.
  package func run() throws {
    let sink = sinks.output
    let text = try TextDrawer()
    let named = try options.data.map { try NamedImages.path($0, sink: sink) }
    let given = named == DataChoice.builtIn ? nil : named
    let task = try task(given)
    let (preset, config) = try configuration(task, given)
    let refusal = RunError(
      "--task", found: "\(task.name), whose samples do not vary", expected: "a task with images or recordings",
      remedy: "`mmoe data inspect` looks at texts")
    // Before a text is tokenized for nothing.
    if config.model.kind == .gpt { throw refusal }
    guard let data = try task.openData(given, config, checkpoint: nil, training: true, sink) as? any AugmentedData
    else { throw refusal }
    try OutputCheck.requireOther([("--out", options.out)], than: data.trainingFiles, in: data.path)
    let samples = try data.drawnSamples(options.count, draws: options.draws, config)
    guard !samples.isEmpty else {
      throw RunError(data.path, found: "no image and no recording in what the model reads", expected: "one to draw")
    }
    try DurableFile.write(picture(samples, text).png(), to: options.out)
    let size = config.model.vision.image
    sink.line("\(task.name): \(preset), input \(size) x \(size), data \(oneLine(data.path))")
    sink.line("as in training: " + PreviewSession.settings(config))
    sink.line(
      "\(oneLine(options.out)): \(samples.count) rows: without augmentation, then as the first \(options.draws) epochs show it"
    )
  }

  /// The task that is named, or that the data is for.
  private func task(_ path: String?) throws -> TaskKind {
    if let name = options.task { return try TaskKind(named: name) }
    if let preset = options.preset {
      var config = RunConfig()
      try RunConfig.table.apply(ProjectHome.presets.preset(preset), to: &config)
      return try TaskKind(training: config.model.kind)
    }
    return path.map(PairFolder.isOne) ?? false ? .multimodal : .imagenetSubset
  }

  /// What a training with the same options would have.
  private func configuration(_ task: TaskKind, _ path: String?) throws -> (preset: String, config: RunConfig) {
    let chosen = try options.preset == nil ? path.flatMap(task.choosePreset) : nil
    if let chosen { sinks.output.line(chosen.reason) }
    let preset = options.preset ?? chosen?.preset ?? task.defaultPreset
    var training = TrainSession.Options()
    (training.preset, training.settings) = (options.preset, options.settings)
    let session = TrainSession(training)
    let config = try session.newConfig(task, preset, nil, chosen?.settings ?? [])
    try config.validate()
    try task.requireModel(config, preset: preset)
    try config.requireUsed { session.place(of: $0, preset: preset) }
    try config.requirePlaces()
    return (preset, config)
  }

  /// The keys that decide what is drawn, as `--set` takes them.
  private static func settings(_ config: RunConfig) -> String {
    guard config.data.overfit == 0 else {
      return "data.overfit=\(config.data.overfit), which trains without augmentation"
    }
    var keys: Set = ["data.crop", "data.flip", "data.jitter", "seed"]
    switch config.data.crop {
    case .resized: keys.insert("data.crop_minimum")
    case .padded: keys.insert("data.crop_padding")
    case .none: break
    }
    return RunConfig.table.resolved(config).filter { keys.contains($0.key) }.map { "\($0.key)=\($0.value)" }
      .joined(separator: ", ")
  }

  private func picture(_ samples: [DrawnSample], _ text: TextDrawer) throws -> RGBImage {
    let columns = 1 + options.draws
    return ContactSheet(columns: columns, side: ContactSheet.labeledSide).image(
      samples.count * columns, lines: 1, text
    ) { place in
      let (sample, column) = (samples[place / columns], place % columns)
      guard column > 0 else { return (sample.plain, [ContactSheet.Caption(sample.label)]) }
      return (
        column <= sample.draws.count ? sample.draws[column - 1] : nil, [ContactSheet.Caption("epoch \(column)")]
      )
    }
  }
}
