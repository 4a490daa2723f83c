import Foundation
import MMoEModels
import MMoETensor

/// `mmoe study FILE.yaml`: trains what the plan asks for, one run after the other, and compares.
public struct StudySession {
  /// What the command line said.
  public struct Options: Sendable {
    public var file = ""
    public var out: String?
    public var data: String?
    public var threads: Int?
    /// Compare what is finished, run nothing.
    public var onlyReports = false
    /// A variant that all others are compared with, instead of those that the plan names.
    public var against: String?
    /// The metric to compare by, instead of the validation loss.
    public var measure: String?
    public var printsJSON = false
    public init() {}
  }

  private let options: Options
  private let plan: StudyPlan
  private let output: any TextSink
  private let human: any TextSink
  private let folder: String

  /// - Throws: `ConfigError` or `TrainError` naming file, line and key of what is wrong with the plan.
  public init(
    _ options: Options, output: any TextSink = StandardStream.output, errors: any TextSink = StandardStream.error
  ) throws {
    self.options = options
    var plan = try StudyPlan(options.file)
    if let name = options.against { try plan.compareAll(with: name) }
    self.plan = plan
    self.output = output
    human = options.printsJSON ? errors : output
    folder = options.out ?? "\(TrainSession.runsFolder)/study-\(plan.name)"
  }

  /// Runs what is missing and reports.
  ///
  /// - Returns: the process's exit status: 0, or 130 when a signal stopped it; the same command then goes on.
  /// - Throws: the first thing that is wrong, one line each.
  public func run() throws -> Int32 {
    do {
      try FileManager.default.createDirectory(atPath: folder + "/runs", withIntermediateDirectories: true)
    } catch {
      throw TrainError("\(folder): cannot be created (\(systemReason(of: error))); choose a writable --out")
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
      } catch let error as PlotError {
        human.line("no plot: \(error)")
      }
    }
    if options.printsJSON { output.line(summary.json().line) }
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
          throw TrainError(
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
    let configuration = fingerprint(job)
    let isFinished =
      try record.row(
        job.purpose, job.variant.name, seed: job.seed, learningRate: job.learningRate, configuration: configuration)
      != nil
    if isFinished { return true }
    let run = "\(folder)/runs/\(StudySession.folderName(job.purpose, job.variant.name, job.seed, job.learningRate))"
    var training = TrainSession.Options()
    training.task = plan.task.rawValue
    training.preset = plan.preset
    training.data = options.data ?? plan.data
    training.printsJSON = true
    let goesOn = !RunFolder.steps(in: run).isEmpty
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
    let result = TextBuffer()
    var row = StudyRow(
      purpose: job.purpose, variant: job.variant.name, seed: job.seed, learningRate: job.learningRate,
      configuration: configuration, steps: 0, validationLoss: nil, metrics: [:], parameters: 0,
      activeParameters: 0, flops: 0)
    let start = processCPUSeconds()
    do {
      guard try TrainSession(training, output: result, errors: human).run() == 0 else { return false }
      if !goesOn { row.cpuSeconds = processCPUSeconds() - start }
      try fill(&row, from: result.text)
    } catch let error as TrainError where error.isDivergence {
      human.line("diverged: \(error)")
    }
    try record.append(row)
    if job.purpose == .search { StudySession.removeCheckpoints(run) }
    return true
  }

  static func folderName(_ purpose: StudyRow.Purpose, _ variant: String, _ seed: Int, _ rate: Double) -> String {
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

  /// Everything that decides a result and differs from a setting's default, as 64 bits: a setting that a later version
  /// adds leaves finished rows valid. The number of threads decides nothing.
  private func fingerprint(_ job: Job) -> String {
    var config = job.config
    config.tensor = TensorConfig()
    let settings = RunConfig.table.differences(RunConfig(), config).map { "\($0.key)=\($0.second)" }
    let start = (job.variant.initFrom + job.variant.map).map { "from " + $0 }
    let text = ([plan.task.rawValue, plan.data ?? options.data ?? ""] + settings + start).joined(separator: "\n")
    // FNV-1a.
    let hash = text.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    return String(hash, radix: 16)
  }

  private func fill(_ row: inout StudyRow, from text: String) throws {
    let line = text.split(separator: "\n").last.map(String.init) ?? ""
    let fields = (try? JSONSerialization.jsonObject(with: Data(line.utf8))) as? [String: Any] ?? [:]
    guard let loss = fields["val_loss"] as? Double, let steps = fields["steps"] as? Int,
      let checkpoint = fields["checkpoint"] as? String
    else {
      throw TrainError(
        "variant \(row.variant), seed \(row.seed): no validation loss was reported; check the data's val part")
    }
    let costs = try ModelCosts(LoadedCheckpoint(checkpoint).info.config.model)
    row.steps = steps
    row.validationLoss = loss
    row.trainLoss = fields["train_loss"] as? Double
    row.parameters = costs.parameters
    row.activeParameters = costs.activeParameters
    row.flops = (fields["flops_per_step"] as? Double ?? 0) * Double(steps)
    let others = [
      "val_loss", "train_loss", "steps", "seconds", "seed", "threads", "data_wait_share", "interrupted", "peak_rss_mb",
      "flops_per_step",
    ]
    for (name, value) in fields where !others.contains(name) && !name.hasSuffix("_per_s") {
      if let number = value as? Double { row.metrics[name] = number }
    }
  }

  private static func removeCheckpoints(_ run: String) {
    for name in (try? FileManager.default.contentsOfDirectory(atPath: run)) ?? [] where name.hasSuffix(".h5") {
      unlink(run + "/" + name)
    }
  }
}
