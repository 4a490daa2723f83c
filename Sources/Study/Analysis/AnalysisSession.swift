import Foundation
import MMoEConfig
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoERuns
import MMoETensor
import MMoETrain

/// `mmoe analyze`: what a checkpoint's layers do, or what those of a run did over training.
package struct AnalysisSession {
  package enum Kind: String, CaseIterable, Sendable {
    case routing, similarity, gradients, sharing
  }

  /// What the command line said.
  package struct Options: Sendable {
    package var kind = Kind.routing
    /// Checkpoints, and folders of runs, whose checkpoints are taken all; none = the latest run that can be analyzed.
    package var models: [String] = []
    /// One for all models, or one a model: none for the data that a model was trained on, `-` for what comes with the project.
    package var data: [String] = []
    /// Images or windows of text.
    package var samples = 256
    package var out = ""
    package var threads: Int?
    /// Ranks that share out the experts; 0 = as many as ranks and experts allow.
    package var expertParallel = 0
    package var printsJSON = false
    package init() {}
  }

  private let options: Options
  private let sinks: CommandSinks

  package init(_ options: Options, _ sinks: CommandSinks = .standard) { (self.options, self.sinks) = (options, sinks) }

  /// - Throws: the first thing that is wrong, one line each.
  package func run() throws {
    let count = max(options.models.count, 1)
    guard options.data.count <= 1 || options.data.count == count else {
      throw StudyError(
        "--data", found: "\(options.data.count) given for \(count) models",
        remedy: "give one for all, or one a model")
    }
    try CommandRun.onRanks(sinks, printsJSON: options.printsJSON) { run in
      switch options.kind {
      case .routing: try analyze(RoutingAnalysis.self, run)
      case .similarity: try analyze(SimilarityAnalysis.self, run)
      case .gradients: try analyze(GradientAnalysis.self, run)
      case .sharing: try analyze(SharingAnalysis.self, run)
      }
    }
  }

  private func analyze<A: Analysis>(_ analysis: A.Type, _ run: CommandRun) throws {
    var series: [AnalysisSeries<A.Measurement>] = []
    var models = options.models
    if models.isEmpty {
      models = [try run.agreed { try AnalysisSession.latestRun(needsExperts: A.needsExperts) }]
      run.human.line("run \(oneLine(models[0]))")
    }
    for (index, model) in models.enumerated() {
      let data = options.data.count > 1 ? options.data[index] : options.data.first
      series.append(try measure(analysis, model, data: data, run))
    }
    for names in [AnalysisSession.distinguishing(models.map(AnalysisSession.name)), models]
    where Set(series.map(\.label)).count < series.count {
      for index in series.indices { series[index].label = names[index] }
    }
    // Every rank has measured the same.
    guard run.world.rank == 0 else { return }
    let found = A.report(series)
    let files = try found.write(to: options.out)
    run.human.write(found.text)
    for file in files { run.human.line(file) }
    guard options.printsJSON else { return }
    var fields = found.json
    fields["analysis"] = .string(A.name)
    fields["samples"] = .int(options.samples)
    fields["files"] = .array(files.map { .string($0) })
    run.output.line(JSONValue.object(fields).line)
  }

  private func measure<A: Analysis>(
    _ analysis: A.Type, _ model: String, data: String?, _ run: CommandRun
  ) throws -> AnalysisSeries<A.Measurement> {
    let files = try AnalysisSession.checkpoints(of: model)
    let first = try LoadedCheckpoint(files[0])
    var config = first.info.config
    config.parallel.expert = options.expertParallel
    guard !A.needsExperts || config.model.moe.variant != "dense" else {
      throw StudyError(
        "\(files[0]): moe.variant is dense, so nothing is routed; expected a model with experts, or use `mmoe analyze similarity`"
      )
    }
    A.adapt(&config.model)
    if let threads = options.threads { config.tensor.threads = threads }
    // Figures are of float32 products whatever the run used.
    config.tensor.dtype = .float32
    let opened = try OpenedTask(first, config, data: data, training: A.needsTrainingPart, run)
    if let note = opened.note { run.human.line("note: \(note)") }
    guard let task = opened.job as? any ProbedTask else {
      throw StudyError("\(model)", found: "a checkpoint of the task \(first.info.task), which cannot be analyzed")
    }
    var series = AnalysisSeries<A.Measurement>(
      label: "\(first.info.preset) \(config.model.moe.variant)", config: config.model)
    let probe = Probe(samples: options.samples, engine: opened.engine, team: opened.team)
    for (index, file) in files.enumerated() {
      let checkpoint = index == 0 ? first : try LoadedCheckpoint(file)
      if index > 0 { try checkpoint.restore(task.model) }
      series.points.append((checkpoint.info.step, try A.measure(task, config.model, probe)))
      if run.human.isTerminal { run.human.line("\(file) (\(index + 1) of \(files.count))") }
    }
    for note in task.notes { run.human.line("note: \(note)") }
    return series
  }

  /// The run whose newest checkpoint is the newest, with experts where they are looked at.
  private static func latestRun(needsExperts: Bool) throws -> String {
    let hasExperts = (
      words: "with experts",
      fits: { (folder: String) in
        let file = FilePath.join(folder, RunFolder.configName)
        guard let text = try? String(contentsOfFile: file, encoding: .utf8) else { return false }
        var config = RunConfig()
        try? RunConfig.table.apply(yaml: text, file: file, to: &config)
        return config.model.moe.variant != "dense"
      }
    )
    return try RunFolder.latestRun(of: nil, "MODELS", kind: needsExperts ? hasExperts : nil)
  }

  /// Names without the words, between hyphens, that all begin or end with: what tells runs of one study apart.
  static func distinguishing(_ names: [String]) -> [String] {
    var words = names.map { $0.split(separator: "-", omittingEmptySubsequences: false) }
    func drop(_ word: ([Substring]) -> Substring?, _ cut: (inout [Substring]) -> Void) {
      while words.count > 1, words.allSatisfy({ $0.count > 1 && word($0) == word(words[0]) }) {
        for index in words.indices { cut(&words[index]) }
      }
    }
    drop(\.first) { $0.removeFirst() }
    drop(\.last) { $0.removeLast() }
    return words.map { $0.joined(separator: "-") }
  }

  /// The run's folder: a checkpoint's own, or the one that is named.
  private static func name(of model: String) -> String {
    let path = model.hasSuffix(".h5") ? FilePath.folder(of: model) : model
    return FilePath.name(of: FilePath.named(path))
  }

  /// A checkpoint itself, or all of a run's in the order of their steps.
  package static func checkpoints(of model: String) throws -> [String] {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: model, isDirectory: &isFolder), isFolder.boolValue else {
      return [model]
    }
    let steps = RunFolder.steps(in: model)
    guard !steps.isEmpty else {
      throw StudyError("\(model): no checkpoint step-*.h5 in it; expected a checkpoint or the folder of a run")
    }
    return steps.map { RunFolder.checkpointFile(step: $0, in: model) }
  }
}
