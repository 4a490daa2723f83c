import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoERuns
import MMoETensor
import MMoETrain
import MMoEWeights

/// `mmoe study FILE.yaml`: trains what the plan asks for, one run after the other, and compares.
package struct StudySession {
  /// What the command line said.
  package struct Options: Sendable {
    package var file = ""
    package var out: String?
    package var data: String?
    package var threads: Int?
    /// Compare what is finished, run nothing.
    package var onlyReports = false
    /// A variant that all others are compared with, instead of those that the plan names.
    package var against: String?
    /// The metric to compare by, instead of the validation loss.
    package var measure: String?
    package var printsJSON = false
    package init() {}
  }

  private let options: Options
  private let plan: StudyPlan
  private let sinks: CommandSinks
  private var human: any TextSink { options.printsJSON ? sinks.errors : sinks.output }
  private let folder: String
  private let digests = Digests()

  /// What was read already in this session.
  private final class Digests {
    var found: [String: String] = [:]
  }

  /// - Throws: `ConfigError` or `StudyError` naming file, line and key of what is wrong with the plan.
  package init(_ options: Options, _ sinks: CommandSinks = .standard) throws {
    self.options = options
    var plan = try StudyPlan(options.file)
    if let name = options.against { try plan.compareAll(with: name) }
    self.plan = plan
    self.sinks = sinks
    folder = options.out ?? "\(RunFolder.home)/study-\(plan.name)"
  }

  /// Runs what is missing and reports.
  ///
  /// - Returns: the process's exit status: 0, or 130 when a signal stopped it; the same command then goes on.
  /// - Throws: the first thing that is wrong, one line each.
  package func run() throws -> Int32 {
    do {
      try FileManager.default.createDirectory(atPath: folder + "/runs", withIntermediateDirectories: true)
    } catch {
      throw StudyError(
        folder, found: "cannot be created (\(systemReason(of: error)))", remedy: "choose a writable --out")
    }
    // Held until the end: two processes must not append to the same rows.
    // A report may be made while the study runs.
    var plan = plan
    func chooseMeasure(_ rows: [StudyRow]) throws {
      if let measure = options.measure, !rows.isEmpty { try plan.compare(by: measure, rows) }
      try plan.requireMetrics(rows)
    }
    let lock = options.onlyReports ? nil : try RunFolder(locking: folder)
    defer { withExtendedLifetime(lock) {} }
    let record = try StudyRecord(folder + "/rows.jsonl", isReadOnly: options.onlyReports)
    // Before hours of training where something is known, and after them.
    try chooseMeasure(record.rows)
    if !options.onlyReports {
      guard try runAll(record) else {
        human.line("interrupted; the same command goes on")
        return 130
      }
    }
    try chooseMeasure(record.rows)
    let summary = StudySummary(plan, record.rows)
    human.write(summary.text())
    for (name, write) in try summary.files(runs: { folder + "/runs/" + $0 }) {
      do {
        try write(folder + "/" + name)
        human.line("written     \(folder)/\(name)")
      } catch let error as ReportError {
        human.line("no plot: \(error)")
      }
    }
    if options.printsJSON { sinks.output.line(summary.json().line) }
    return 0
  }

  // MARK: Runs

  /// A run that the plan asks for.
  private struct Job {
    let purpose: StudyRow.Purpose
    let variant: StudyPlan.Variant
    let seed: Int
    let learningRate: Double
    let config: RunConfig
  }

  /// - Returns: whether everything is finished.
  private func runAll(_ record: StudyRecord) throws -> Bool {
    for variant in plan.variants {
      for rate in plan.learningRates {
        guard try runOne(job(.search, variant, plan.searchSeed, rate), record) else { return false }
      }
    }
    // Seed by seed: a study that is stopped early has compared all variants.
    for seed in plan.seeds {
      for variant in plan.variants where variant.seeds.contains(seed) {
        let rate = StudySummary.learningRate(of: variant, plan, record.rows)
        guard let rate else {
          throw StudyError(
            "variant \(variant.name): training diverged with every learning rate of \(plan.file); add lower ones to learning_rates"
          )
        }
        guard try runOne(job(.run, variant, seed, rate), record) else { return false }
      }
    }
    return true
  }

  private func job(
    _ purpose: StudyRow.Purpose, _ variant: StudyPlan.Variant, _ seed: Int, _ rate: Double
  ) -> Job {
    var config = variant.config
    config.seed = seed
    config.optimizer.lr = rate
    if purpose == .search, let steps = plan.searchSteps { config.train.steps = steps }
    return Job(purpose: purpose, variant: variant, seed: seed, learningRate: rate, config: config)
  }

  /// - Returns: whether it is finished.
  private func runOne(_ job: Job, _ record: StudyRecord) throws -> Bool {
    let configuration = try fingerprint(job)
    let isFinished =
      try record.row(
        job.purpose, job.variant.name, seed: job.seed, learningRate: job.learningRate, configuration: configuration)
      != nil
    if isFinished { return true }
    let run = "\(folder)/runs/\(StudySession.folderName(job.purpose, job.variant.name, job.seed, job.learningRate))"
    var training = TrainSession.Options()
    training.task = plan.task.name
    training.preset = plan.preset
    training.data = data
    training.configuration = configuration
    let goesOn = try hasBegun(run, configuration)
    if goesOn {
      training.resume = run
    } else {
      // What was stopped before its first checkpoint begins again.
      try? FileManager.default.removeItem(atPath: run)
      training.out = run
      training.initFrom = job.variant.initFrom
      training.map = job.variant.map
    }
    training.settings = try settings(job)
    human.line(
      "\n\(job.purpose.rawValue) \(job.variant.name), seed \(job.seed), learning rate \(job.learningRate)")
    var row = StudyRow(
      purpose: job.purpose, variant: job.variant.name, seed: job.seed, learningRate: job.learningRate,
      configuration: configuration, steps: 0, validationLoss: nil, metrics: [:], parameters: 0,
      activeParameters: 0, flops: 0)
    let start = processCPUSeconds()
    do {
      let result = try TrainSession(training, CommandSinks(output: human, errors: human)).result()
      guard result.status == 0, let outcome = result.outcome else { return false }
      if !goesOn { row.cpuSeconds = processCPUSeconds() - start }
      try fill(&row, from: outcome)
    } catch let error as TrainError where error.isDivergence {
      human.line("diverged: \(error)")
    }
    try record.append(row)
    if job.purpose == .search { StudySession.removeCheckpoints(run) }
    return true
  }

  package static func folderName(_ purpose: StudyRow.Purpose, _ variant: String, _ seed: Int, _ rate: Double) -> String
  {
    "\(purpose.rawValue)-\(variant)-lr\(rate)-seed\(seed)"
  }

  /// The preset's settings that differ, as the command line would give them.
  private func settings(_ job: Job) throws -> [String] {
    var preset = RunConfig()
    try RunConfig.table.apply(ProjectHome.presets.preset(plan.preset), to: &preset)
    var keys = RunConfig.table.differences(preset, job.config).map(\.key)
    if !job.variant.initFrom.isEmpty {
      // A model of the same kind brings its own form along, which gives way only to what is said.
      let form = ["model.layers", "model.width", "model.heads", "model.hidden", "moe."]
      keys += RunConfig.table.entries.map(\.key).filter { key in
        !keys.contains(key) && form.contains { key.hasPrefix($0) }
      }
    }
    var settings = RunConfig.table.resolved(job.config).filter { keys.contains($0.key) }.map { "\($0.key)=\($0.value)" }
    if let threads = options.threads { settings.append("tensor.threads=\(threads)") }
    return settings
  }

  /// Whether a run has checkpoints to go on from. One of another configuration is put aside.
  private func hasBegun(_ run: String, _ configuration: String) throws -> Bool {
    guard !RunFolder.steps(in: run).isEmpty else { return false }
    guard try RunRecord.read(run)?.configuration != configuration else { return true }
    var (aside, number) = (run + "-before", 1)
    while FileManager.default.fileExists(atPath: aside) {
      number += 1
      aside = "\(run)-before-\(number)"
    }
    guard rename(run, aside) == 0 else {
      throw StudyError(
        "\(run)", found: "was made with another configuration and cannot be renamed to \(aside)", remedy: "move it away"
      )
    }
    human.line("\(run): was made with another configuration; put aside as \(aside)")
    return false
  }

  private var data: String? { options.data ?? plan.data }

  /// Everything that decides a result and differs from a setting's default, as digits: a setting that a later version
  /// adds leaves finished rows valid. The number of threads decides nothing; of data and initial weights the content decides.
  private func fingerprint(_ job: Job) throws -> String {
    var config = job.config
    config.tensor.threads = TensorConfig().threads
    let settings = RunConfig.table.differences(RunConfig(), config).map { "\($0.key)=\($0.second)" }
    let weights = try digest(weights: job.variant.initFrom)
    let start = weights + job.variant.map.map { "map " + $0 }
    return FileContent.digest(
      text: ([plan.task.name, try digest(data: job)] + settings + start).joined(separator: "\n"))
  }

  /// The digests of the data of a configuration; opened once for all that read it alike.
  private func digest(data job: Job) throws -> String {
    let config = job.config
    let own = RunConfig.table.differences(RunConfig(), config).filter { change in
      ["text.", "tokenizer.", "mixture.", "model.image"].contains { change.key.hasPrefix($0) }
    }
    let start = job.variant.initFrom
    let key = (own.map { "\($0.key)=\($0.second)" } + start).joined(separator: "\n")
    if let known = digests.found[key] { return known }
    // The tokenizer of the weights, where the run takes it over.
    let attachments = try start.isEmpty ? nil : InitialWeights(start).attachments(settings(job))
    let opened = try plan.task.openData(
      data == DataChoice.builtIn ? nil : data, config, checkpoint: nil, attachments: attachments, training: true, human)
    let parts = try opened.parts(training: true)
    let digest = DatasetSplit.allCases.map { parts[$0]?.digest ?? "" }.joined(separator: " ")
    digests.found[key] = digest
    return digest
  }

  private func digest(weights paths: [String]) throws -> [String] {
    guard !paths.isEmpty else { return [] }
    let key = "weights " + paths.joined(separator: "\n")
    if let known = digests.found[key] { return [known] }
    let digest = try InitialWeights(paths).record(paths).map { "from " + $0.digest }.joined(separator: "\n")
    digests.found[key] = digest
    return [digest]
  }

  private func fill(_ row: inout StudyRow, from outcome: Trainer.Outcome) throws {
    guard let evaluation = outcome.evaluation else {
      throw StudyError(
        "variant \(row.variant), seed \(row.seed): no validation loss was reported; check the data's val part")
    }
    let costs = try ModelCosts(LoadedCheckpoint(outcome.checkpoint).info.config.model)
    row.steps = outcome.steps
    row.validationLoss = evaluation.loss
    // A run that had all its steps already has its loss in the metrics alone.
    let metrics = FilePath.join(FilePath.folder(of: outcome.checkpoint), Recorder.fileName)
    row.trainLoss =
      outcome.trainLoss.isFinite
      ? outcome.trainLoss : try MetricsHistory(file: metrics).points(MetricName.trainLoss).last?.value
    row.parameters = costs.parameters
    row.activeParameters = costs.activeParameters
    row.flops = outcome.flopsPerStep * Double(outcome.steps)
    for (name, value) in evaluation.metrics where value.isFinite { row.metrics[name] = value }
  }

  private static func removeCheckpoints(_ run: String) {
    for name in (try? FileManager.default.contentsOfDirectory(atPath: run)) ?? [] where name.hasSuffix(".h5") {
      unlink(run + "/" + name)
    }
  }
}
