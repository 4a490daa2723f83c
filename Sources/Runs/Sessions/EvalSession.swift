import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEReport
import MMoETensor
import MMoETrain
import MMoEWeights

/// `mmoe eval`: a checkpoint's metrics on a validation set.
public struct EvalSession {
  /// What the command line said.
  public struct Options: Sendable {
    /// Nil: the checkpoint's.
    public var task: String?
    /// A checkpoint, or a run's folder; nil = the latest run, of the task if given.
    public var checkpoint: String?
    /// `-` for the data that comes with the project; nil for the validation part of what the checkpoint was trained on.
    public var data: String?
    /// JSONL files of zero-shot questions, instead of the validation set.
    package var choices: String?
    package var lastWord: String?
    /// Of tasks with labels: where a table of all samples goes (CSV), and a picture of the confusion matrix (PNG).
    package var predictions, confusion: String?
    /// How many mistakes of highest loss are listed, and where a sheet of them goes (PNG).
    package var worst: Int?
    package var sheet: String?
    public var settings: [String] = []
    public var printsJSON = false
    public init() {}
  }

  private let options: Options
  private let sinks: CommandSinks

  public init(_ options: Options, _ sinks: CommandSinks = .standard) { (self.options, self.sinks) = (options, sinks) }

  /// - Throws: the first thing that is wrong, one line each.
  public func run() throws {
    try CommandRun.onRanks(sinks, printsJSON: options.printsJSON, evaluate)
  }

  private func evaluate(_ run: CommandRun) throws {
    let named = try options.task.map { try TaskKind(named: $0) }
    let checkpoint = try LoadedCheckpoint(
      run.agreed { try RunFolder.checkpoint(at: options.checkpoint, task: named?.name) })
    if options.checkpoint == nil { run.human.line("checkpoint \(checkpoint.file)") }
    if let named { try checkpoint.require(task: named.name) }
    let task = try TaskKind(named: checkpoint.info.task)
    let asks = options.choices != nil || options.lastWord != nil
    let config = try checkpoint.config(
      applying: options.settings, for: asks ? .questions : .evaluation,
      "evaluation of \(asks ? "questions" : "--task \(task.name)")")
    if asks {
      try zeroShot(checkpoint, config, run)
      return
    }
    let opened = try OpenedTask(checkpoint, config, data: options.data, run)
    let asked = ClassReport.Options(
      predictions: options.predictions, confusion: options.confusion, worst: options.worst, sheet: options.sheet)
    let classes = try asked.isEmpty ? nil : ClassReport(asked, of: opened.job, checkpoint.file, run)
    let began = monotonicSeconds()
    let progress = PhaseProgress("evaluating", sink: run.human)
    func show(done: Int, total: Int) { progress.update(done, of: total) }
    var predictions: [ClassPrediction] = []
    let evaluation: Evaluation
    if classes != nil, let task = opened.job as? any ClassifyingTask {
      (evaluation, predictions) = try task.classify(progress: show)
    } else {
      evaluation = try opened.job.evaluate(progress: show)
    }
    progress.finish()
    let seconds = monotonicSeconds() - began
    describe(evaluation, opened, seconds: seconds, run)
    // Nothing is written of a model that has diverged.
    let isFinite = (try? evaluation.requireFinite(checkpoint.file)) != nil
    let more = isFinite ? try classes?.write(predictions, data: opened.data.path, run) : nil
    if options.printsJSON { run.output.line(json(evaluation, opened, seconds: seconds, more ?? [:]).line) }
    try evaluation.requireFinite(checkpoint.file)
  }

  /// Questions instead of a validation set.
  private func zeroShot(_ checkpoint: LoadedCheckpoint, _ config: RunConfig, _ run: CommandRun) throws {
    let engine = try run.engine(config.tensor)
    let team = try run.team(config.parallel, config.model, engine)
    let questions = ZeroShot(try LoadedLanguageModel(checkpoint, engine: engine, team: team), engine: engine)
    var fields: [String: JSONValue] = ["checkpoint": .string(checkpoint.file)]
    func report(_ kind: String, _ file: String?, _ metrics: (String) throws -> [(name: String, value: Double)]) throws {
      guard let file else { return }
      let found = try metrics(file)
      run.human.line(file + found.map { "   \($0.name) \(HumanFormat.fixed($0.value, 4))" }.joined())
      var values: [String: JSONValue] = ["file": .string(file)]
      for (name, value) in found { values[name] = .double(value) }
      fields[kind] = .object(values)
    }
    try report("choices", options.choices, questions.multipleChoice)
    try report("last_word", options.lastWord, questions.lastWord)
    if options.printsJSON { run.output.line(JSONValue.object(fields).line) }
  }

  private func describe(_ evaluation: Evaluation, _ opened: OpenedTask, seconds: Double, _ run: CommandRun) {
    let (job, human) = (opened.job, run.human)
    let (data, part) = (opened.data, opened.parts[.val])
    if !evaluation.classes.isEmpty {
      var table = TextTable(columns: [.left("class"), .right("images"), .right("correct"), .right("top-1")])
      for entry in evaluation.classes {
        let share = entry.count > 0 ? Double(entry.correct) / Double(entry.count) : .nan
        table.add([
          entry.name, "\(entry.count)", "\(entry.correct)",
          entry.count > 0 ? HumanFormat.percent(share) : "–",
        ])
      }
      human.write(table.render(for: human))
      human.line()
    }
    var line = "\(evaluation.count) \(job.metrics.unit)   loss \(HumanFormat.fixed(evaluation.loss, 4))"
    for headline in job.metrics.headlines + job.metrics.details {
      guard let value = evaluation[headline.metric] else { continue }
      line += "   \(headline.label) \(headline.text(value))"
    }
    human.line(line + "   in \(HumanFormat.duration(seconds))")
    for note in job.notes + [opened.note].compactMap({ $0 }) { human.line("note: \(note)") }
    human.line("evaluated on \(oneLine(data.path)): \(part?.summary ?? "")")
  }

  /// - Parameter more: fields of its own of what was asked for.
  private func json(
    _ evaluation: Evaluation, _ opened: OpenedTask, seconds: Double, _ more: [String: JSONValue]
  ) -> JSONValue {
    let (job, checkpoint, data, part) = (opened.job, opened.checkpoint, opened.data, opened.parts[.val])
    var fields: [String: JSONValue] = [
      "task": .string(job.name), "preset": .string(checkpoint.info.preset),
      "variant": .string(checkpoint.info.config.model.moe.variant),
      "steps": .int(checkpoint.info.step), "seconds": .double(seconds),
      "val_loss": .double(evaluation.loss), "\(job.metrics.unit)": .int(evaluation.count),
      "skipped": .int(evaluation.skipped), "checkpoint": .string(checkpoint.file),
      "data": .string(data.path), "data_digest": part.map { .string($0.digest) } ?? .null,
      "matches_training": opened.comparison.json,
    ]
    for (name, value) in evaluation.metrics { fields[name] = .double(value) }
    if !evaluation.classes.isEmpty {
      fields["classes"] = .array(
        evaluation.classes.map {
          .object(["name": .string($0.name), "count": .int($0.count), "correct": .int($0.correct)])
        })
    }
    return .object(fields.merging(more) { own, _ in own })
  }
}

extension DataChoice.Comparison {
  /// Whether it is the data of training; null where nothing says so.
  fileprivate var json: JSONValue {
    switch self {
    case .same: true
    case .differs: false
    case .unknown: .null
    }
  }
}
