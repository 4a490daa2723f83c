import Foundation
import MMoEConfig
import MMoEData
import MMoEFiles
import MMoEModels
import MMoEParallel
import MMoEReport
import MMoETensor
import MMoETrain

/// `mmoe predict`: the classes that a model finds for image files.
package struct PredictSession {
  /// What the command line said.
  package struct Options: Sendable {
    /// Image files, and folders of them.
    package var files: [String] = []
    /// A checkpoint, or a run's folder; nil = the latest run of image classification.
    package var checkpoint: String?
    /// Classes of each image; nil = 5, or all where the model has fewer.
    package var count: Int?
    /// Where a table and a sheet of pictures go; nil = none.
    package var csv: String?
    package var sheet: String?
    package var settings: [String] = []
    package var printsJSON = false
    package init() {}
  }

  private let options: Options
  private let sinks: CommandSinks

  package init(_ options: Options, _ sinks: CommandSinks = .standard) { (self.options, self.sinks) = (options, sinks) }

  /// Predicts all files that can be read, and names the others on the error stream.
  ///
  /// - Returns: the exit status, on every rank: 1 where a file could not be read.
  /// - Throws: the first thing that is wrong, one line each.
  package func run() throws -> Int32 { try CommandRun.onRanks(sinks, printsJSON: options.printsJSON, predict) }

  private func predict(_ run: CommandRun) throws -> Int32 {
    let began = monotonicSeconds()
    let text = try run.world.rank == 0 && options.sheet != nil ? TextDrawer() : nil
    let checkpoint = try LoadedCheckpoint(
      run.agreed { try RunFolder.checkpoint(at: options.checkpoint, task: TaskKind.imagenetSubset.name) })
    if options.checkpoint == nil { run.human.line("checkpoint \(oneLine(checkpoint.file))") }
    let classes = try PredictSession.classes(of: checkpoint)
    let count = options.count ?? min(5, classes.count)
    guard 1...classes.count ~= count else {
      throw RunError(
        field: "--top-k", found: "\(count)", expected: "1 to \(classes.count), the classes of \(checkpoint.file)")
    }
    let config = try checkpoint.config(applying: options.settings, for: .prediction, "mmoe predict")
    // The first rank alone looks for files.
    let paths = try run.agreed {
      let files = try ImageFiles(options.files)
      for note in files.notes { run.human.line("note: \(oneLine(note))") }
      return files.paths.joined(separator: "\0")
    }.split(separator: "\0", omittingEmptySubsequences: false).map(String.init)
    try OutputCheck.requireOther([("--csv", options.csv), ("--sheet", options.sheet)], than: paths)
    let images = ImageSource(
      ImageSet(split: .val, classes: classes, images: paths.map { .init(path: $0, label: 0) }), cacheBytes: 0,
      policy: .skip, atLeast: RGBImage.detail(inputSide: config.model.vision.image))
    let engine = try run.engine(config.tensor)
    let team = try run.team(config.parallel, config.model, engine)
    let model = try VisionTransformer(
      config.model, seed: nil, engine: engine, dispatcher: team?.dispatcher ?? LocalDispatcher())
    try checkpoint.restore(model)
    let found = try predict(images, count, model, config, checkpoint.file, engine, team, run.human)
    let own = images.statistics.bad.keys
    let bad = team?.union(own, below: paths.count) ?? own.sorted()
    if run.world.rank == 0 {
      // Another rank may have met it; the reason is the same here.
      for index in bad where images.statistics.bad[index] == nil { _ = try images.image(at: index) }
      let report = PredictReport(
        paths: paths, classes: classes, count: count, found: found, bad: images.statistics.bad)
      try report.write(csv: options.csv, sheet: options.sheet, text, run, printsJSON: options.printsJSON)
      report.summarize(seconds: monotonicSeconds() - began, run)
    }
    return bad.isEmpty ? 0 : 1
  }

  /// The names of a checkpoint's classes.
  ///
  /// - Throws: `RunError` for a model of another kind.
  private static func classes(of checkpoint: LoadedCheckpoint) throws -> [String] {
    let info = checkpoint.info
    guard info.config.model.kind == .vit, let classes = info.vocabulary["classes"] else {
      throw RunError(
        checkpoint.file, found: "a checkpoint of the task \(info.task)", expected: "a model that classifies images",
        remedy: "give one made by `mmoe train --task \(TaskKind.imagenetSubset.name)`")
    }
    guard classes.count == info.config.model.vision.classes else {
      throw RunError(
        checkpoint.file,
        found: "\(classes.count) names of classes, but model.classes is \(info.config.model.vision.classes)",
        remedy: "the file was changed")
    }
    return classes
  }

  /// A class of a file, as ranks send it to each other.
  private struct Entry: BitwiseCopyable {
    let file: Int32
    let found: ClassProbability
  }

  /// The best classes of every file that can be read, by its number, on every rank.
  private func predict(
    _ images: ImageSource, _ count: Int, _ model: VisionTransformer, _ config: RunConfig, _ file: String,
    _ engine: Engine, _ team: RankTeam?, _ human: any TextSink
  ) throws -> [Int: [ClassProbability]] {
    let (total, ranks) = (images.set.count, team?.world.size ?? 1)
    let batch = min(config.data.batch, (total + ranks - 1) / ranks)
    let size = config.model.vision
    let loader = try ImageLoader(
      images,
      options: LoaderOptions(
        batchSize: batch, imageSize: size.image, normalization: config.data.pixelNormalization,
        threads: config.data.workers, rank: team?.world.rank ?? 0, ranks: ranks), order: .evaluation)
    let progress = ProgressLine("predict", total: total, sink: human)
    var entries: [Entry] = []
    // Experts need every rank at every pass: one whose images are used up repeats its last ones and keeps nothing.
    var idle: Tensor?
    for start in stride(from: 0, to: total, by: batch * ranks) {
      let next = try loader.next()
      let blank = ranks > 1 ? Tensor.zeros([1, size.channels, size.image, size.image]) : nil
      guard let pixels = next?.pixels ?? idle ?? blank else { break }
      let best = try ForwardPass.evaluating(engine, team) { pass in
        let logits = model(pixels, pass)
        return next == nil ? [] : ClassProbability.best(count, of: logits)
      }
      if human.isTerminal, total > batch * ranks {
        progress.update(step: min(start + batch * ranks, total), items: min(batch * ranks, total - start))
      }
      guard let next else { continue }
      if ranks > 1 { idle = pixels.copy() }
      for (index, best) in zip(next.indices, best) {
        guard let best else {
          throw RunError(
            file, field: "a logit of \(images.set.images[index].path)", found: "not finite",
            expected: "a finite number",
            remedy: "the model has diverged, use an earlier checkpoint")
        }
        entries += best.map { Entry(file: Int32(index), found: $0) }
      }
    }
    if human.isTerminal { progress.finish() }
    return Dictionary(grouping: team?.gathered(entries) ?? entries) { Int($0.file) }.mapValues { $0.map(\.found) }
  }
}
